"""Images: where they are found, how they are decoded once and shared, and how they are split."""
