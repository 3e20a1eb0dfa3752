"""The report on answers to questions about scenes, and the viewer of scenes."""
