"""What the results mean: metrics, pair statistics, answers. NumPy and SciPy only."""
