"""Answering questions about scenes: recipes, data, training, model files, and what a trained model answers."""
