"""The figures of a report, one file each, as plain data for plotly."""
