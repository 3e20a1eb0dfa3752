"""Distances by which the benchmarks decide."""

from __future__ import annotations

MISS_RADIUS_M = 2.0
"""An endpoint farther than this from the truth is a miss (strictly farther, as in both devkits)."""
COLLISION_M = 1.0
"""Two actors nearer than this at one step collide, as in av2."""
