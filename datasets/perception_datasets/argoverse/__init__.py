"""Argoverse 1 and 2: tracks, maps and sensor logs as scenarios."""
