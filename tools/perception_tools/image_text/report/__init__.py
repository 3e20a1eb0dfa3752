"""The report on answers to questions about pictures, and on retrieval."""
