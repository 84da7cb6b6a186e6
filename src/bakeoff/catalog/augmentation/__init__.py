"""Image augmentation: random changes, drawn for every image in every epoch."""
