"""Benchmarks of point clouds."""
