"""Types of text: vocabularies, word vectors, and the vocabulary of answers."""
