"""The figures of a report, as plain data that plotly draws: one file each."""
