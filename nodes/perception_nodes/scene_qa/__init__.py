"""The node that answers questions about the scene that it maps."""
