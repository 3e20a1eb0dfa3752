"""Pictures, and how a model reads them."""
