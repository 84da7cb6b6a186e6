"""The ledger: the durable record of every trial."""
