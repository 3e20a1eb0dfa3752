"""Scanned rooms: scenes, the classes and boxes of their objects, samples of their points."""
