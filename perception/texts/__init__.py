"""Words of questions, their vectors, and the vocabulary of answers."""
