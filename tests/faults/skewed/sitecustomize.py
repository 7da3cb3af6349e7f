"""On PYTHONPATH: a Python whose wall clock is SKEW_S seconds ahead of the machine's."""

import os
import time

_AHEAD_S, _time, _time_ns = float(os.environ.get("SKEW_S", 0)), time.time, time.time_ns


def skewed() -> float:
    """For time.time; with a name, so that it can be pickled."""
    return _time() + _AHEAD_S


def skewed_ns() -> int:
    """For time.time_ns."""
    return _time_ns() + int(_AHEAD_S * 1e9)


time.time, time.time_ns = skewed, skewed_ns
