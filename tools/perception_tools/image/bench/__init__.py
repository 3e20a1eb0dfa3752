"""Measurements of the picture task."""
