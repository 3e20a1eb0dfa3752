"""Lanelet2 maps, as Autoware's robots have them, without lanelet2 itself."""
