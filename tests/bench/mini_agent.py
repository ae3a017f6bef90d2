"""mini-swe-agent's own agent, model and environment on the same answers. A program by itself, for its Python.

It reads JSON from its standard input: model, key and folder. It prints the seconds that a turn took.
"""

import json
import os
import sys
import time
from pathlib import Path

import yaml

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask GitHub for prices

from minisweagent import package_dir
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel

given = json.load(sys.stdin)
config = yaml.safe_load(Path(package_dir, "config", "mini.yaml").read_text())
known = ("system_template", "instance_template")
reached = {"api_base": given["model"], "api_key": given["key"]}
model = LitellmModel(model_name="openai/scripted", model_kwargs=reached, cost_tracking="ignore_errors")
agent = DefaultAgent(
    model,
    LocalEnvironment(cwd=given["folder"]),
    **{name: config["agent"][name] for name in known},
    output_path=Path(given["folder"], "trajectory.json"),
)
started = time.perf_counter()
agent.run("Change the README: it should say so.")
print((time.perf_counter() - started) / agent.n_calls)
