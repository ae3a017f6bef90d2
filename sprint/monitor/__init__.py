"""What became of the runs: figures over ledger and run folders, and their renderers."""
