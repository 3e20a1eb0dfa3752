"""A query-centric encoder: its graph of a scene, its input and its network."""
