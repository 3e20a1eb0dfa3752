"""Benchmarks of pictures with texts."""
