"""Scanned rooms: scenes, the classes and boxes of their objects, samples, the loss of detections."""
