"""Training and evaluating classifiers of camera images."""
