"""A deployment's topics live in Foxglove's app."""
