"""A study's winner in a folder of its own: weights, formats for other software, and a model card."""
