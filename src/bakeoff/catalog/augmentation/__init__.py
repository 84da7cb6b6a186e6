"""Changes to images on their way into training, drawn anew for every image of every epoch."""
