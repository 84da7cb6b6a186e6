"""The arithmetic of augmentations and mixes, in torch."""
