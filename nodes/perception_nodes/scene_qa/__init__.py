"""The scene question node: posed clouds or a scan in, answers to questions out."""
