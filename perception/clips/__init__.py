"""Clips, which of their images are seen, and how a model reads them."""
