"""Benchmarks of classifiers of camera images."""
