"""A unit in, what the driver is told of it if it is committed out.

Ray repeats a task whose result it lost: the worker died after its commit, or the node that held the result did.
"""

import pyarrow as pa

from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import read_commits


def receipt_of_done(place: Workplace, unit: str) -> pa.Table | None:
    """The receipt of a unit that was committed before; none of one that is still to be computed."""
    try:
        (record,) = read_commits(place.store, place.folder, [unit])
    except FileNotFoundError:
        return None
    return Parcel({"unit": unit, "counts": record.counts, "ours": False}).pack()
