"""Questions and answers: words, fusion of texts with objects, the loss."""
