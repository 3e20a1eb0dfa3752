"""Training and evaluating classifiers of point clouds."""
