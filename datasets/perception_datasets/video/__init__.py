"""Readers of videos with the names of actions."""
