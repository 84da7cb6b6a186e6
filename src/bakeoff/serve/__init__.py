"""A workspace in the browser: its studies, live progress and reports. Read-only."""
