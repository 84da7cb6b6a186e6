"""All that a study can name, one record each. No torch."""
