"""Corpora that are lawful and odd: a passage of 10 MB, a million words, 20,000 files, a passage that takes all memory."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipelines
from configs.load import build_config
from tests.faults.outcomes import outcome
from tests.jobs import WORDS, raytrieve, tiny_settings, write_config

pytestmark = pytest.mark.cluster


def index_only(tmp_path, path, **sections):
    settings = tiny_settings(tmp_path, tmp_path / "store", **{"corpus": {"path": str(path), "columns": {}}, **sections})
    return {**settings, "queries": None, "rerank": None}


def run(tmp_path, settings, env=None, timeout=500.0):
    done = raytrieve("run", str(write_config(tmp_path / "job.yaml", settings)), env=env, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.chaos
def test_a_passage_of_10_mb_is_cut_at_the_models_length_and_counted(tmp_path, local_ray, tally):
    texts = ["giant panda"] * 30
    texts[17] = " ".join(WORDS * (10_000_000 // len(" ".join(WORDS)) + 1))
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": f"p{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    settings = index_only(tmp_path, tmp_path / "corpus.jsonl", embed={"unit_rows": 10})
    config = build_config(settings, "test")
    pipelines.run(config)
    tally("a passage of 10 MB", 1, outcome(config, [f"p{i}" for i in range(30)]), 0)
    (report,) = (tmp_path / "store").rglob("report.json")
    (embed,) = [stage for stage in json.loads(report.read_text())["stages"] if stage["name"] == "embed"]
    assert embed["truncated"] == 1


@pytest.mark.chaos
def test_a_million_one_word_passages_all_arrive(tmp_path, local_ray, tally):
    count = 1_000_000
    ids = [f"p{i}" for i in range(count)]
    pq.write_table(pa.table({"_id": ids, "text": [WORDS[i % len(WORDS)] for i in range(count)]}), tmp_path / "corpus.parquet")
    settings = index_only(tmp_path, tmp_path / "corpus.parquet", embed={"unit_rows": 20_000}, index={"segment_rows": 400_000})
    run(tmp_path, settings)
    tally("a million passages of one word", count, outcome(build_config(settings, "test"), ids), 0)


@pytest.mark.chaos
def test_20000_small_files_on_s3_are_all_read(tmp_path, s3, s3_environment, local_ray, tally):
    count, client = 20_000, s3.client()

    def put(number):
        client.put_object(
            Bucket="corpus", Key=f"many/{number:05d}.jsonl", Body=f'{{"_id": "p{number}", "text": "panda {number}"}}\n'.encode()
        )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(count)))
    settings = index_only(tmp_path, "s3://corpus/many", embed={"unit_rows": 1000})
    run(tmp_path, settings, env=s3.environment)
    tally("an object store with 20,000 small files", count, outcome(build_config(settings, "test"), [f"p{i}" for i in range(count)]), 0)


@pytest.mark.chaos
def test_a_passage_that_takes_all_memory_ends_in_the_rejects(tmp_path, local_ray, tally):
    rows = [{"_id": f"p{i}", "text": f"panda bear {i}" + " kumquat" * (i == 33)} for i in range(48)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus = {"path": str(tmp_path / "corpus.jsonl"), "columns": {}, "max_reject_share": 0.1}
    settings = index_only(tmp_path, "", corpus=corpus, embed={"unit_rows": 8}, ray={"retries": 1})
    memory = {line.split()[0]: int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines()}
    allowed = (memory["MemTotal:"] - memory["MemAvailable:"] + (4 << 30)) / memory["MemTotal:"]
    run(tmp_path, settings, env={"RAYTRIEVE_TEST_HOARD": "kumquat", "RAY_memory_usage_threshold": f"{allowed:.3f}"})
    found = outcome(build_config(settings, "test"), [f"p{i}" for i in range(48) if i != 33])
    tally("an actor out of memory", 1, found, 8)  # a unit of eight rows, halved until the row is found
    (listed,) = (tmp_path / "store").rglob("rejects-corpus.jsonl")
    (reject,) = [json.loads(line) for line in listed.read_text().splitlines()]
    assert reject["id"] == "p33" and "killed its worker" in reject["reason"]
