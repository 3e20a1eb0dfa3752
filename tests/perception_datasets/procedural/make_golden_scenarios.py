"""Writes golden_scenarios.json beside this file: what a few seeds make. Run it only when scenarios are meant to change.

Positions are those that `make_scenario` returns, in its own frame, in metres, at the first, the present and the last
step.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from perception_datasets.procedural.maker import make_scenario

SCENARIOS = ((0, "train", 0), (3, "val", 7), (11, "train", 4))
STEPS = (0, 49, 109)


def main() -> None:
    """One line per agent, so that a difference can be read."""
    scenarios = []
    for seed, split, number in SCENARIOS:
        graph, recording, city_SE2_made = make_scenario(seed, split, number)
        head = {
            "scenario": [seed, split, number],
            "city_SE2_made": np.round([city_SE2_made.x_m, city_SE2_made.y_m, city_SE2_made.heading_rad], 4).tolist(),
            "rules": list(map(int, graph.rules)),
            "segments": len(graph.segments),
            "focal": recording.focal,
        }
        agents = [
            json.dumps([recording.ids[agent], recording.kinds[agent], recording.category[agent], steps, positions])
            for agent, (steps, positions) in enumerate(
                zip(
                    recording.valid.sum(axis=1).tolist(),
                    np.round(recording.position[:, STEPS], 4).tolist(),
                    strict=True,
                )
            )
        ]
        scenarios.append(f'{json.dumps(head)[:-1]}, "agents": [\n  ' + ",\n  ".join(agents) + "\n]}")
    Path(__file__).with_name("golden_scenarios.json").write_text("[\n" + ",\n".join(scenarios) + "\n]\n")


if __name__ == "__main__":
    main()
