"""Training and evaluating forecasters."""
