"""Trains one cohort on one device. Recipe records live here too, without torch."""
