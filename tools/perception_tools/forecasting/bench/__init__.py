"""Benchmarks of forecasting: the node, its deployment and the readers."""
