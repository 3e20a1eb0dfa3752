"""Benches of action recognition."""
