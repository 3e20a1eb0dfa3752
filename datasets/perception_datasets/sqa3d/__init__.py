"""SQA3D: questions about ScanNet's rooms, asked from a described place, with answers."""
