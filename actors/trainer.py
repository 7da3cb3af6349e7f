"""A sample of vectors in, the trained empty index that all segments share out."""

import time

import numpy as np
import pyarrow as pa

from actors.index.kinds import IndexPlan
from actors.index.training import choose_sample_rows, train_template
from actors.parcels import Parcel
from actors.pieces import Piece, read_piece, vectors_of
from actors.reader import Workplace
from actors.receipts import receipt_of_done
from actors.storage.commits import CommitRecord, begin, commit, put_data
from actors.storage.objects import new_attempt


class Trainer:
    """Trains a template on `train_rows` rows chosen evenly by seed. Exact kinds need no sample."""

    def __init__(self, place: Workplace, plan: IndexPlan, train_rows: int, seed: int) -> None:
        self._place, self._plan, self._rows, self._seed = place, plan, train_rows, seed

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        unit, attempt, started = header["units"][0], new_attempt(), time.time()
        if (done := receipt_of_done(self._place, unit)) is not None:
            return done
        begin(self._place.store, self._place.folder, unit, self._place.run, attempt, "Trainer")
        sample = self._sample([Piece.parse(plain) for plain in header["pieces"]])
        template = train_template(self._plan, sample, self._seed)
        file = put_data(self._place.store, self._place.folder, f"{unit}-{attempt}.faiss", template)
        counts = {"rows": len(sample), "train_seconds": time.time() - started}
        record = commit(
            self._place.store, self._place.folder, CommitRecord(unit, attempt, {"template": file}, counts, self._place.run, started, 0.0)
        )
        return Parcel({"unit": unit, "counts": record.counts, "ours": self._place.tally(record, attempt)}).pack()

    def _sample(self, pieces: list[Piece]) -> np.ndarray:
        if not self._plan.trained:
            return np.zeros((0, self._plan.dimension), np.float32)
        chosen = choose_sample_rows(sum(piece.rows for piece in pieces), self._rows, self._seed)
        parts, offset = [], 0
        for piece in pieces:
            inside = chosen[(chosen >= offset) & (chosen < offset + piece.rows)] - offset
            offset += piece.rows
            if len(inside):
                rows = np.concatenate([vectors_of(table) for table in read_piece(self._place.store, piece, ["vector"])])
                parts.append(rows[inside].astype(np.float32))
        return np.concatenate(parts)
