"""Runs trials: executors, and the driver loop."""
