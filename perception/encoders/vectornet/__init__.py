"""VectorNet: its network, how scenarios become vectors, and from where polylines are seen."""
