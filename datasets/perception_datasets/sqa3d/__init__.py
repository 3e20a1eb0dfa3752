"""SQA3D: questions about ScanNet's rooms, with answers and the asker's place."""
