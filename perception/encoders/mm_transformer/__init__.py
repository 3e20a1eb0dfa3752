"""mmTransformer: its input, its network, and the names of its released weights."""
