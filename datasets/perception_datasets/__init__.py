"""Reads data sets in their own file formats into `perception` types, and prepares stores of them for training."""
