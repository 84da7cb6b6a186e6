"""Strategies that decide which trials run next, by ask and tell."""
