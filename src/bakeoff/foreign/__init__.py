"""Results of other tools, read into one kind of table: scores by run, and what is known of each run."""
