"""Benchmark numbers, bit-equal to the official devkits."""
