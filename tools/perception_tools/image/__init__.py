"""Training and evaluating classifiers of pictures."""
