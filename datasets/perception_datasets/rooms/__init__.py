"""Furnished rooms that are made, not scanned, with questions that only the room and the asker's place in it answer."""
