"""A study's numbers as tidy tables, with units in the column names, for spreadsheets, pandas and other programs."""
