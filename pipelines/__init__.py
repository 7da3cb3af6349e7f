"""Drivers that read as the data flows. `from pipelines import run` is the whole job as one function."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Ray reads these when it is imported: token authentication said aloud, no usage reports, CUDA_VISIBLE_DEVICES left alone,
# and no C++ chatter on the terminal (RAY_BACKEND_LOG_LEVEL=info brings it back).
_RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_prestart_worker_first_driver": "0",  # a Python per logical CPU before there is work costs seconds on a small machine
}
if "ray" not in sys.modules:
    for _name, _value in _RAY.items():
        os.environ.setdefault(_name, _value)

if TYPE_CHECKING:
    from configs.schema import Config
    from pipelines.report import Report


def run(config: "Config | str | Path", *overrides: str) -> "Report":
    """Run a whole job: a Config, or a path to a YAML file with overrides such as "search.top_k=50". Returns the report."""
    from configs.load import load_config
    from configs.schema import Config
    from pipelines.whole_run import whole_run

    return whole_run(config if isinstance(config, Config) else load_config(config, overrides))
