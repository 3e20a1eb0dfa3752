"""Sampling and grouping points in plain torch."""
