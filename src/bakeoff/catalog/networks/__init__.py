"""Networks as records: layers, named networks, and their shapes."""
