"""Generator of synthetic furnished rooms, with questions that depend on the room and the asker's place in it."""
