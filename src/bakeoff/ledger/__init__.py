"""What happened: the durable record of every trial."""
