"""Answers that need no training, for comparison."""
