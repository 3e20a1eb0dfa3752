"""Training runs, the same for every task."""
