"""A config in, the state of its work out: what is committed, what is left, the rate and the time it will take.

Each stage notes its plan in the run's folder when it starts; commit records say how much of it is done. Reads the store
only; needs no cluster.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from actors.storage.manifests import newest_version
from actors.storage.objects import Store, open_store
from configs.schema import Config
from pipelines.events import read_events
from pipelines.job import run_name
from pipelines.progress import duration

_RECENT_S = 600.0  # the rate is that of the last ten minutes in which anything was committed


@dataclass(frozen=True, slots=True)
class StageState:
    """How far one stage is."""

    name: str
    units: int
    done: int
    rate: float
    """Units per second of late; 0 when unknown."""

    def line(self) -> str:
        """In words."""
        left = self.units - self.done
        if not left:
            return f"{self.name}: all {self.units} units committed"
        pace = f"{self.rate:.3g} units/s, ETA {duration(left / self.rate)}" if self.rate else "rate unknown"
        return f"{self.name}: {self.done} of {self.units} units committed, {left} left, {pace}"


def save_plan(store: Store, run_folder: str, stage: str, folder: str, units: Sequence[str]) -> None:
    """Note what a stage is going to do, for `raytrieve status`."""
    plan = {"stage": stage, "folder": folder, "units": list(units), "started": time.time()}
    store.put(f"{run_folder}/stages/{stage.replace(' ', '-')}.json.zst", zstandard.compress(json.dumps(plan).encode()))


def stage_states(store: Store, run_folder: str) -> list[StageState]:
    """Every stage that was ever started in a run, in the order they were."""
    plans = [json.loads(zstandard.decompress(store.get(item.key))) for item in store.list(f"{run_folder}/stages/")]
    return [_state(store, plan) for plan in sorted(plans, key=lambda plan: plan["started"])]


def status_lines(config: Config) -> list[str]:
    """The state in lines."""
    store, run = open_store(config.store, config.s3), run_name(config)
    lines = [f"run {run} in {store.uri}"]
    lines += [state.line() for state in stage_states(store, f"runs/{run}")] or ["nothing has been started with this config"]
    manifest = newest_version(store)
    lines.append(f"newest version: {manifest.version} ({manifest.rows:,} passages)" if manifest else "no version is published yet")
    events = read_events(store, f"runs/{run}")
    if events and events[-1]["event"] == "failed":
        lines.append(f"the last run failed: {events[-1]['message']}")
    return lines


def _state(store: Store, plan: dict) -> StageState:
    wanted = set(plan["units"])
    times = sorted(item.modified for item in store.list(f"{plan['folder']}/commits/") if Path(item.key).stem in wanted)
    recent = [t for t in times if t > times[-1] - _RECENT_S]
    rate = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0
    return StageState(plan["stage"], len(wanted), len(times), rate)
