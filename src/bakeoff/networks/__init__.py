"""Networks as data: layers, named networks, their shapes and their initial weights."""
