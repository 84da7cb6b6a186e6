"""Trains one cohort on one device, in torch."""
