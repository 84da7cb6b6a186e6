"""Images: locating them, decoding them once into a shared cache, and splitting them."""
