"""Road users and maps: scenarios, the index of a map, motion."""
