"""Fusion of tokens of two modalities."""
