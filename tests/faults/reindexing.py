"""A finished store and a corpus that has changed since: what the faults of a re-index harm."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage.local_store import LocalStore
from configs.load import build_config
from configs.schema import Config
from tests.faults.outcomes import SECTIONS, Change, Outcome, committed, outcome, start, tokens_embedded
from tests.jobs import tiny_settings, tokens_of, write_config


@dataclass(frozen=True)
class Reindex:
    """`embedded`: tokens in the store before the re-index."""

    path: Path
    config: Config
    change: Change
    embedded: int

    @property
    def store(self) -> LocalStore:
        return LocalStore(Path(self.config.store.uri))

    def start(self, env: dict[str, str] | None = None) -> subprocess.Popen:
        return start(self.path, env, "reindex")

    def committed(self, folder: str) -> int:
        return len(committed(self.store.root, folder))

    def outcome(self) -> Outcome:
        """The new texts must be all that was embedded."""
        assert tokens_embedded(self.store) - self.embedded == tokens_of(self.config, self.change.texts)
        return outcome(self.config, self.change.ids)


def changed_job(finished: Path, inputs: Path, folder: Path, edits: int = 60, judged: bool = False, **sections: Any) -> Reindex:
    """In `folder`: a copy of the store `finished` that was built of `inputs`, the corpus as it is now, and the config.

    `judged`: with the queries and the judgements, so that the gate has something to measure.
    """
    store, change = Path(shutil.copytree(finished, folder / "store")), Change.of(inputs, edits)
    pq.write_table(pa.Table.from_pylist(change.rows), folder / "corpus.parquet", row_group_size=100)
    settings = {**tiny_settings(folder, store, **{**SECTIONS, **sections}), "rerank": None}
    asked = {**settings["queries"], "path": f"{inputs}/queries.jsonl", "qrels": f"{inputs}/qrels.tsv"}
    settings["queries"] = asked if judged else None
    path = write_config(folder / "job.yaml", settings)
    return Reindex(path, build_config(settings, "test"), change, tokens_embedded(LocalStore(store)))
