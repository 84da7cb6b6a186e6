"""A workspace in the browser: its studies, the running one as it grows, and the reports. Reads, never writes."""
