"""Actions in what a camera sees over time."""
