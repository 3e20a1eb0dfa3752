"""Benchmarks of scene question answering: sampling a cloud, and the node."""
