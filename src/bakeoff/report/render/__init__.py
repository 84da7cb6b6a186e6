"""Renderers: each writes the parts of a report's sections for one medium."""
