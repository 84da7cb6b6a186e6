"""Where trials run, and the one loop that drives them."""
