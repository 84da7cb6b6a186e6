"""Renderers: each walks the parts of a report's sections and writes them for one medium."""
