"""Where tokens of two modalities meet."""
