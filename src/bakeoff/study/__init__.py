"""The question: a study file becomes blocks, arms and trials. Imports no torch."""
