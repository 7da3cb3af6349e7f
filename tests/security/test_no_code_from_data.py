"""Data is never run: not by a config, not by a corpus, and no module knows how. Models: tests/actors/models/test_no_remote_code.py."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.corpus.listing import list_files
from actors.corpus.planning import count_rows, plan_units
from actors.corpus.reading import read_units
from configs.errors import UserError
from configs.load import load_config
from configs.schema import ColumnsConfig, InputConfig, S3Config

ROOT = Path(__file__).parents[2]
RULES = "S102,S202,S301,S302,S307,S501,S506,S602,S604,S605,TID251"


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self._folder),)


@pytest.fixture
def armed(tmp_path: Path) -> Path:
    """A Parquet file with pickles in columns of Ray's own extension type, which this process knows since it imports ray.data."""
    from ray.data._internal.object_extensions.arrow import ArrowPythonObjectArray

    pickled = ArrowPythonObjectArray.from_objects([Payload(tmp_path / "ran")])
    listed = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), pickled)
    nested = pa.StructArray.from_arrays([listed], names=["inside"])
    table = pa.table({"_id": ["a"], "text": ["giant panda"], "pickled": pickled, "nested": nested})
    pq.write_table(table, tmp_path / "corpus.parquet")
    return tmp_path / "corpus.parquet"


def read(file: Path, **columns: object) -> list[str]:
    spec, s3 = InputConfig(path=(str(file),), columns=ColumnsConfig(**columns)), S3Config()
    counted = [count_rows(found, s3, 10) for found in list_files(spec, s3, "corpus")]
    return [text for _, found in read_units(plan_units(counted, 10, ""), spec, s3) for text in found.table["text"].to_pylist()]


def test_ray_would_run_what_such_a_file_holds(armed, tmp_path):
    pq.read_table(armed)["pickled"].to_pylist()
    assert (tmp_path / "ran").is_dir()


def test_a_corpus_with_pickles_in_it_is_read_around_them(armed, tmp_path):
    assert read(armed) == ["giant panda"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("columns", [{"text": "pickled"}, {"id": "pickled"}, {"metadata": ("pickled",)}, {"metadata": ("nested",)}])
def test_a_corpus_whose_columns_are_pickles_is_refused_before_they_run(armed, tmp_path, columns):
    with pytest.raises(
        UserError, match=r"extension type 'ray\.data\.arrow_pickled_object' in column '(pickled|nested)', which is not read"
    ):
        read(armed, **columns)
    assert not (tmp_path / "ran").exists()


def test_a_config_cannot_name_a_function_to_call(tmp_path):
    call = f"!!python/object/apply:os.mkdir ['{tmp_path}/ran']"
    (tmp_path / "job.yaml").write_text(f"name: {call}\n")
    with pytest.raises(UserError, match=r"job\.yaml is not valid YAML"):
        load_config(tmp_path / "job.yaml")
    (tmp_path / "plain.yaml").write_text("corpus: {path: c}\nembed: {model: m}\n")
    assert load_config(tmp_path / "plain.yaml", [f"embed.query_instruction={call}"]).embed.query_instruction == call
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import pickle", "TID251"),
        ("from cloudpickle import loads", "TID251"),
        ("import marshal", "TID251"),
        ("import urllib.request", "TID251"),
        ("import requests", "TID251"),
        ("import yaml\n\nyaml.load(text)", "S506"),
        ("eval(text)", "S307"),
        ("exec(text)", "S102"),
        ("import subprocess\n\nsubprocess.run(text, shell=True)", "S602"),
        ("import os\n\nos.system(text)", "S605"),
        ("import tarfile\n\ntarfile.open(text).extractall()", "S202"),
    ],
)
def test_the_lint_of_the_project_refuses_what_would_run_or_fetch_data(line, rule):
    done = check(["-", "--stdin-filename", "actors/storage/module.py"], f'"""A module."""\n\n{line}\n')
    assert done.returncode == 1 and rule in done.stdout


def test_no_module_of_the_project_breaks_these_rules():
    done = check(["configs", "actors", "pipelines", "infra", "benchmarks", "--select", RULES])
    assert done.returncode == 0, done.stdout + done.stderr


def check(arguments: list[str], text: str = "") -> str:
    """What ruff has to say, with the project's settings."""
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--no-cache", "--output-format", "concise", *arguments]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True)
