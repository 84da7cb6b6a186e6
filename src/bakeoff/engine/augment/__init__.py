"""Augmentations and mixing, in torch."""
