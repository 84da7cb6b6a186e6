"""Networks as data: layers, named networks, and their shapes."""
