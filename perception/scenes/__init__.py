"""Types of scanned rooms: scenes, questions, object classes and boxes, sampled points."""
