"""Units in, commits to make out: the operators of a stage whose device only waits.

A module of its own, which loads no torch: 16 processes that did would take two cores most of a minute.
"""

import os
import time

import numpy as np
import pyarrow as pa

from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import begin
from actors.storage.objects import new_attempt

_ROWS, _TOKENS, _DIMENSION = 64, 256, 768
"""Of a simulated unit: what a real one of a base model would carry."""


class Source:
    """Makes a unit's token ids, as a tokenizer would."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel."""
        header = Parcel.unpack(batch).header
        ids = pa.array([[7] * _TOKENS] * _ROWS, pa.large_list(pa.int32()))
        return Parcel({"unit": header["units"][0]}, {"passages": pa.table({"input_ids": ids})}).pack()


class SimulatedDevice:
    """Sleeps, and gives vectors."""

    def __init__(self, place: Workplace, seconds: float) -> None:
        self._place, self._seconds = place, seconds

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel."""
        unit, attempt, started = Parcel.unpack(batch).header["unit"], new_attempt(), time.time()
        begin(self._place.store, self._place.folder, unit, self._place.run, attempt, "Device")
        time.sleep(self._seconds)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(_ROWS * _DIMENSION, np.float32)), _DIMENSION)
        header = {"unit": unit, "attempt": attempt, "started": started, "files": {}, "counts": {"rows": _ROWS, "process": os.getpid()}}
        return Parcel(header, {"passages": pa.table({"vector": vectors})}).pack()
