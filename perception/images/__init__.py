"""Pictures of cameras."""
