"""The programs that are measured: each trains the same arms and prints one line of JSON."""
