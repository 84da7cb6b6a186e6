"""Trains one cohort on one device. The records of a recipe live here too, free of torch."""
