"""The tables of a study for a paper: LaTeX with booktabs."""
