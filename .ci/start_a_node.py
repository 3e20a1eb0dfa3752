"""Writes an untrained forecaster into the folder RUN and starts `perception node forecast` with it, until it is ready.

Usage: start_a_node.py RUN
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

from perception_tools.forecasting.model import Training, build_forecaster, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.training.recipes import BlockRecipe

run = Path(sys.argv[1])
run.mkdir()
recipe = ForecastRecipe(dim=32, heads=2, global_layers=1, block=BlockRecipe(source="random:64x96x4"))
model = build_forecaster(recipe, future_steps=60)
save_model(run / MODEL_FILE, model, recipe, Training("untrained", "argoverse2", 0, 50, 60, 0))

config = run / "deployment.yaml"
config.write_text(f"nodes: {{forecast: {{kind: forecast, checkpoint: {run}, metrics: 0}}}}\n")
command = [Path(sys.executable).with_name("perception"), "node", "forecast", "--config", config]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
    ready = node.stdout.readline()
    print(ready, end="")
    assert json.loads(ready)["node"] == "forecast"
    node.send_signal(signal.SIGTERM)
    assert node.wait(30) == 0
