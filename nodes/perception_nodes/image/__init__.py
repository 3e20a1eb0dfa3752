"""Classes of a camera's pictures."""
