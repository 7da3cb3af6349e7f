"""The commands around a run: help, status, versions, gc, doctor, and what Ctrl-C says."""

import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import typer
import yaml

from actors.storage.pins import PIN_S
from configs.errors import UserError
from configs.load import load_config
from pipelines.cli import app, guarded
from pipelines.collect import parse_duration
from tests.jobs import make_corpus, read_rankings, tiny_config, tiny_settings, write_config

PURPOSES = {
    "run": "The whole job: corpus to report.",
    "embed": "Corpus to vectors.",
    "index": "Vectors to a published version of the index.",
    "reindex": "Only what changed in the corpus",
    "search": "Queries to candidates.",
    "rerank": "Candidates to rankings.",
    "evaluate": "Rankings to measures and the report.",
    "status": "What is committed, what is left",
    "doctor": "say what is wrong and how to mend it.",
    "repair": "Read every committed file of the store",
    "gc": "Delete what nothing names any more",
    "versions list": "All versions, oldest first.",
    "versions show": "One version as YAML",
    "versions rollback": "Publish a version equal to an older one.",
    "versions diff": "What version B has in place of version A",
    "verify": "Re-read a version from end to end",
}
Command = Callable[..., tuple[int, str]]
WEEK = 7 * 24 * 3600


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: (exit status, stdout and stderr)."""

    def command(*arguments: object) -> tuple[int, str]:
        status = guarded(lambda: app([str(argument) for argument in arguments]))
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return command


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder, passages=120, queries=6)
    return folder


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Path:
    """A store in which two runs are finished: version 1 has one segment, version 2 has two others."""
    from pipelines import run

    store = tmp_path_factory.mktemp("store")
    for rows in (120, 60):
        run(tiny_config(inputs, store, index={"segment_rows": rows}))
    return store


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil, all of whose objects are a week old: no grace period protects them."""
    copy = Path(shutil.copytree(finished, tmp_path / "store"))
    for path in copy.rglob("*"):
        os.utime(path, times=(time.time() - WEEK, time.time() - WEEK))
    return copy


@pytest.fixture
def config(inputs: Path, store: Path, tmp_path: Path) -> Path:
    """The config of the second run, on the copy."""
    return write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, index={"segment_rows": 60}))


def objects(store: Path) -> dict[str, int]:
    """Key -> size of everything but notes of what was probed or started."""
    kept = (path for path in store.rglob("*") if path.is_file() and not {"probes", "events", ".scratch"} & set(path.parts))
    return {str(path.relative_to(store)): path.stat().st_size for path in kept}


def under(store: Path, folder: str) -> set[Path]:
    return set(store.glob(f"{folder}/*"))


@pytest.mark.parametrize("name", PURPOSES)
def test_the_help_of_every_command_names_its_purpose(command, name):
    status, shown = command(*name.split(), "--help")
    words = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", shown).split())
    assert status == 0 and PURPOSES[name] in words and "CONFIG" in words


def test_the_help_lists_every_command(command):
    status, shown = command("--help")
    assert status == 0 and all(re.search(rf"\b{name.split()[0]}\b", shown) for name in PURPOSES)


def test_an_unknown_command_is_a_mistake_of_the_user(command):
    status, shown = command("reindexx")
    assert status == 2 and "reindexx" in shown and "Traceback" not in shown


def test_an_interrupt_says_that_the_work_is_kept(capsys):
    interrupted = typer.Typer()

    @interrupted.command()
    def work() -> None:
        raise KeyboardInterrupt

    assert guarded(lambda: interrupted([])) == 130
    assert capsys.readouterr().err == "raytrieve: Interrupted. What is committed stays: the same command goes on from there.\n"


def test_status_before_a_run_says_that_nothing_was_started(command, inputs, tmp_path):
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, tmp_path / "fresh"))
    status, shown = command("status", path)
    assert status == 0 and "nothing has been started with this config" in shown and "no version is published yet" in shown
    assert not (tmp_path / "fresh").exists()


@pytest.mark.cluster
def test_status_after_a_run_says_that_all_units_are_committed(command, config):
    status, shown = command("status", config)
    assert status == 0 and shown.count("all ") == 4
    assert "embed: all 2 units committed" in shown and "index: all 2 units committed" in shown
    assert "search and rerank: all 2 units committed" in shown and "newest version: 2 (120 passages)" in shown


@pytest.mark.cluster
def test_status_of_a_run_that_was_cut_short_says_how_much_is_left(command, config, store):
    min(store.glob("vectors/*/commits/*.json")).unlink()
    assert "embed: 1 of 2 units committed, 1 left" in command("status", config)[1]


@pytest.mark.cluster
def test_versions_are_listed_oldest_first(command, config):
    status, shown = command("versions", "list", config)
    assert status == 0
    assert [(line.split()[0], re.findall(r"in (\d+) segments", line)) for line in shown.splitlines()] == [("1", ["1"]), ("2", ["2"])]


@pytest.mark.cluster
def test_a_version_is_shown_as_yaml_with_its_segments(command, config):
    status, newest = command("versions", "show", config)
    first = yaml.safe_load(command("versions", "show", config, 1)[1])
    assert status == 0 and yaml.safe_load(newest)["version"] == 2
    assert [segment["rows"] for segment in yaml.safe_load(newest)["segments"]] == [60, 60]
    assert first["version"] == 1 and "index.faiss" in first["segments"][0]["files"]


@pytest.mark.cluster
def test_an_unknown_version_is_told_with_those_that_exist(command, config, store):
    assert command("versions", "show", config, 7) == (2, f"raytrieve: {store} has no version 7; it has [1, 2].\n")


@pytest.mark.cluster
def test_gc_shows_a_lost_attempt_and_deletes_only_when_told(command, config, store):
    (data,) = store.glob("vectors/*/data")
    lost, young = data / "0f0f-lost.parquet", data / "0f0f-young.parquet"
    for path in (lost, young):
        path.write_bytes(b"x" * 1_000_000)
    os.utime(lost, times=(time.time() - WEEK, time.time() - WEEK))
    before = objects(store)
    status, shown = command("gc", config)
    assert status == 0 and "Would delete 1 objects, 1.0 MB." in shown and "--delete" in shown
    assert objects(store) == before
    status, shown = command("gc", config, "--delete")
    assert status == 0 and "Deleted 1 objects, 1.0 MB." in shown
    assert set(before) - set(objects(store)) == {str(lost.relative_to(store))}


@pytest.mark.cluster
def test_gc_keeps_all_that_the_kept_version_and_the_commits_name(command, config, inputs, store):
    from pipelines import run

    kept = tiny_config(inputs, store, index={"segment_rows": 60})
    rankings, old = read_rankings(kept), yaml.safe_load(command("versions", "show", config, 1)[1])
    before = objects(store)
    assert command("gc", config, "--keep", 1, "--delete")[0] == 0
    gone = set(before) - set(objects(store))
    named = {file["key"] for segment in old["segments"] for file in segment["files"].values()}
    assert gone == named | {f"segments/commits/{old['segments'][0]['segment']}.json"}
    assert read_rankings(kept) == rankings
    left = under(store, "*/*/attempts") | under(store, "*/attempts") | under(store, "runs/*/*/attempts")
    assert run(kept).document["version"] == 2
    assert under(store, "*/*/attempts") | under(store, "*/attempts") | under(store, "runs/*/*/attempts") == left


@pytest.mark.cluster
def test_gc_never_takes_the_files_of_a_segment_whose_record_is_younger_than_the_grace(command, config, store):
    old = yaml.safe_load(command("versions", "show", config, 1)[1])["segments"][0]["segment"]
    os.utime(store / "segments" / "commits" / f"{old}.json")
    before = objects(store)
    assert command("gc", config, "--keep", 1, "--delete") == (0, "Deleted 0 objects, 0.0 MB.\n")
    assert objects(store) == before


@pytest.mark.cluster
def test_gc_leaves_what_a_search_that_began_before_the_last_publication_still_reads(command, config, store):
    os.utime(store / "versions" / "00000002.json")
    before = objects(store)
    assert command("gc", config, "--keep", 1, "--older-than", "1d", "--delete") == (0, "Deleted 0 objects, 0.0 MB.\n")
    status, shown = command("search", config, "--version", 1)
    assert status == 0 and "6 queries have candidates." in shown
    assert before.keys() <= objects(store).keys()


@pytest.mark.cluster
def test_a_reader_of_a_version_that_was_replaced_long_ago_finishes_while_gc_sweeps(command, config, store):
    from pipelines.collect import collect
    from pipelines.whole_run import search_only

    asked = load_config(config).model_copy(update={"name": "pinned"})
    old = yaml.safe_load(command("versions", "show", config, 1)[1])
    named = [store / file["key"] for segment in old["segments"] for file in segment["files"].values()]
    killed = store / "pins" / "00000001-0123456789ab"
    killed.parent.mkdir(exist_ok=True)
    killed.write_bytes(b"")
    collect(asked, keep=1, grace_s=3600.0, delete=True)
    assert all(path.exists() for path in named), "the pin of a reader that was killed holds for a while"
    os.utime(killed, times=(time.time() - PIN_S - WEEK, time.time() - PIN_S - WEEK))
    with ThreadPoolExecutor(1) as pool:
        reading, swept = pool.submit(search_only, asked, 1), 0
        while len(list(store.glob("pins/00000001-*"))) < 2 and not reading.done():
            time.sleep(0.01)
        while not reading.done():
            collect(asked, keep=1, grace_s=3600.0, delete=True)
            swept += 1
        assert reading.result() == 6 and swept > 1
    collect(asked, keep=1, grace_s=3600.0, delete=True)
    assert not any(path.exists() for path in [*named, *store.glob("pins/*")]), "who has read lets go"


@pytest.mark.cluster
def test_a_version_whose_segments_gc_removed_is_refused_in_one_sentence(command, config, store):
    assert command("gc", config, "--keep", 1, "--delete")[0] == 0
    for arguments in (("search", config, "--version", 1), ("versions", "rollback", config, 1), ("versions", "diff", config, 1, 2)):
        status, shown = command(*arguments)
        assert status == 2 and shown.splitlines()[-1].startswith("raytrieve: Version 1 can no longer be used: ")
        assert "by gc or by hand" in shown and "Traceback" not in shown
    assert command("search", config)[0] == 0


@pytest.mark.cluster
def test_verify_reads_a_version_from_end_to_end_and_names_what_is_wrong(command, config, store):
    status, shown = command("verify", config)
    assert status == 0 and shown.startswith("Version 2: 120 passages, ") and shown.endswith(" 0 faults.\n")
    (damaged, *_) = yaml.safe_load(command("versions", "show", config, 2)[1])["segments"][1]["files"].values()
    data = bytearray((store / damaged["key"]).read_bytes())
    data[-9] ^= 4
    (store / damaged["key"]).write_bytes(data)
    status, shown = command("verify", config)
    assert status == 2 and shown.startswith("FAIL ") and f"{damaged['key']} is damaged" in shown and "1 faults." in shown
    assert command("verify", config, "--version", 1)[0] == 0


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("48h", 172_800), ("7d", 604_800), ("1.5", 5400), ("0", 0)])
def test_durations_are_written_as_people_say_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1h", "7 days", "h", ""])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(UserError, match="write 90s, 30m, 48h or 7d"):
        parse_duration(text)


def test_gc_refuses_to_keep_no_version_at_all(command, tmp_path):
    assert command("gc", tmp_path / "any.yaml", "--keep", 0)[0] == 2


@pytest.mark.cluster
def test_the_doctor_finds_nothing_wrong_with_a_good_config(command, config):
    status, shown = command("doctor", config)
    assert status == 0, shown
    checks = [line.split(":")[0].split() for line in shown.splitlines()]
    names = ["store", "corpus", "queries", "qrels", "embed.model", "rerank.model", "faiss", "ray", "disk"]
    assert checks == [["ok", name] for name in names]


@pytest.mark.cluster
def test_the_doctor_shows_every_failure_at_once(command, config, inputs, tmp_path, local_ray):
    broken = ("--set", f"corpus.path={inputs}/nothing.parquet", "--set", f"rerank.model={tmp_path}/nothing")
    status, shown = command("doctor", config, *broken)
    failed = [line for line in shown.splitlines() if line.startswith("FAIL")]
    assert status == 2 and len(failed) == 2
    assert failed[0] == f"FAIL corpus: {inputs}/nothing.parquet does not exist: correct corpus.path."
    assert failed[1].startswith(f"FAIL rerank.model: no model folder at '{tmp_path}/nothing'")


@pytest.mark.cluster
def test_the_doctor_names_every_pool_that_has_no_room_beside_the_others(command, config, local_ray):
    crowded = ("embed.workers={min_size: 9, max_size: 9}", "search.workers={min_size: 4, max_size: 4}")
    workers = "rerank.workers={min_size: 4, max_size: 4, cpus: 1.5}"
    status, shown = command("doctor", config, *(word for setting in (*crowded, workers) for word in ("--set", setting)))
    (failed,) = [line for line in shown.splitlines() if line.startswith("FAIL")]
    assert status == 2 and failed.startswith("FAIL ray: embed.workers asks for 9 x 1 CPU") and "but the cluster has 8 CPU, 0 GPU" in failed
    assert "embed.workers asks for 9 x 1 CPU and finds room for 8 of them beside reading and writing (1 x 0.5 CPU)" in failed
    assert "search.workers asks for 4 x 1 CPU and finds room for 2 of them" in failed and "rerank.workers (4 x 1.5 CPU)" in failed
    assert "lower search.workers.min_size or search.workers.cpus, or raise ray.local_cpus or join a larger cluster" in failed
    assert "rerank.workers asks" not in failed and "index.builders" not in failed
