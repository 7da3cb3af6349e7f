"""SIGTERM, as a spot machine, `ray job stop` and Kubernetes send it: the driver says what becomes of its work and is gone."""

import json
import signal
import subprocess
import sys
import time

import pytest
import yaml

from configs.load import build_config
from tests.faults.outcomes import IN_HAND, outcome, start, wait_for
from tests.jobs import ROOT, make_corpus, raytrieve, tiny_settings, write_config
from tests.processes import alive, below

SENTENCE = "raytrieve: Terminated. The units in hand are abandoned; what is committed stays: the same command goes on from there.\n"
OTHERS = {  # who handles the signal, such as Ray while it starts
    "waits for ever": "lambda *_: time.sleep(600)",
    "leaves with a status of its own": "lambda *_: sys.exit(15)",
    "fails": "lambda *_: 1 / 0",
}


@pytest.mark.parametrize("handler", OTHERS)
def test_the_end_is_the_same_whoever_has_taken_over_the_signal(handler):
    code = f"""
import os, signal, sys, time
from pipelines.termination import ending_on_sigterm
with ending_on_sigterm():
    signal.signal(signal.SIGTERM, {OTHERS[handler]})
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (143, SENTENCE)


@pytest.mark.cluster
@pytest.mark.chaos
@pytest.mark.parametrize("what", ["run", "reindex"])
def test_a_terminated_driver_says_so_exits_143_and_leaves_whole_units_and_no_process(what, tmp_path, tally):
    make_corpus(tmp_path, passages=1200)
    store = tmp_path / "store"
    config = write_config(tmp_path / "job.yaml", tiny_settings(tmp_path, store, embed={"unit_rows": 10}))
    process = start(config, what=what)
    wait_for(lambda: len(list(store.glob("vectors/*/commits/*.json"))) >= 3, process)
    family = below(process.pid)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]  # ten times what `ray job stop` waits, for a busy machine
    assert process.returncode == 143 and len(family) > 3
    assert told.endswith(SENTENCE)
    assert "Traceback" not in told and told.count("raytrieve: ") == 1
    records = [json.loads(path.read_text()) for path in store.glob("vectors/*/commits/*.json")]
    assert 3 <= len(records) < 120
    assert all((store / file["key"]).stat().st_size == file["size"] for record in records for file in record["files"].values())
    events = [json.loads(line) for path in store.glob("runs/*/events/*") for line in path.read_text().splitlines()]
    assert events[-1]["event"] == "failed" and events[-1]["error"] == "Terminated"
    end = time.monotonic() + 30
    while alive(family) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(family)
    settings = {**yaml.safe_load(config.read_text()), "queries": None, "rerank": None}
    assert raytrieve(what, str(write_config(tmp_path / "again.yaml", settings))).returncode == 0
    found = outcome(build_config(settings, "test"), [f"p{i:05d}" for i in range(1200)])
    tally(f"SIGTERM of a {what}", 1, found, IN_HAND["embed" if what == "run" else "reindex"])
