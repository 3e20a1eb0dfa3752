"""What can be measured of a model from the inside."""
