"""Prepared data: zarr stores of scenarios, scenes and questions."""
