"""Benchmark metrics, bit-equal to the official devkits."""
