"""The audit of a source before training: duplicates, contradictory labels, links, rare classes, empty images."""
