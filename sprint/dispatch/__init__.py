"""`sprint sprite dispatch` and `collect`: work that an operator sends to one sprite by hand."""
