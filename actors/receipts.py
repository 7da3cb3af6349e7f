"""A unit in, what the driver is told of it if it is committed out.

Ray repeats a task whose result it lost: the worker died after its commit, or the node that held the result did.
"""

import pyarrow as pa

from actors.parcels import HEADER, Parcel
from actors.reader import Workplace
from actors.storage.commits import read_commits

_REPEATED = 4
"""Twice as many parcels as Ray gives an actor at a time: what it may have to repeat when it has restarted one."""


def receipt_of_done(place: Workplace, unit: str) -> pa.Table | None:
    """The receipt of a unit that was committed before; none of one that is still to be computed."""
    try:
        (record,) = read_commits(place.store, place.folder, [unit])
    except FileNotFoundError:
        return None
    return Parcel({"unit": unit, "counts": record.counts, "ours": False}).pack()


def is_receipt(batch: pa.Table) -> bool:
    """Whether a parcel is already what its chain ends with: whoever is still to come passes it on."""
    return "ours" in Parcel.unpack(batch.select([HEADER])).header


class Repeats:
    """For actors inside a chain: whether a parcel has nothing left to do.

    An actor that dies between handing on a unit and telling Ray so is given the unit again when it is restarted, and by then it may be
    committed. A new process therefore asks the store about its first few units; later ones cost no request.
    """

    def __init__(self, place: Workplace) -> None:
        self._place, self._left = place, _REPEATED

    def receipt(self, batch: pa.Table) -> pa.Table | None:
        """What to hand on in place of working on a parcel; none where there is work to do."""
        if is_receipt(batch):
            return batch
        if not self._left:
            return None
        self._left -= 1
        return receipt_of_done(self._place, Parcel.unpack(batch.select([HEADER])).header["unit"])
