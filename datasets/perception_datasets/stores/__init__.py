"""Zarr stores of prepared scenarios, scenes and questions."""
