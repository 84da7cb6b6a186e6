"""Everything a study can name, with one record each. No torch."""
