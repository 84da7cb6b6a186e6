"""Optimizers in torch: one by one, jointly, and stacked."""
