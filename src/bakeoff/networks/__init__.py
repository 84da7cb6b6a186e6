"""Networks as data: layers, named networks, their shapes and their first weights."""
