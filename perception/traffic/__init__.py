"""Types of road traffic: scenarios, the index of a map, motion estimated from positions."""
