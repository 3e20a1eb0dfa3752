"""Heads: from tokens to answers. A head declares which token rows it reads."""
