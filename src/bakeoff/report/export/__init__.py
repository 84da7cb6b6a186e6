"""A study's numbers as tidy tables with units in their column names: for spreadsheets, pandas and other programs."""
