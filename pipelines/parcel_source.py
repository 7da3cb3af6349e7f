"""Packed parcels in, read tasks out: one a parcel."""

from collections.abc import Callable, Sequence

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata


class ParcelSource(Datasource):
    """Tables of one row, each a block of its own."""

    def __init__(self, parcels: Sequence[pa.Table]) -> None:
        self._parcels = parcels

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all parcels."""
        return sum(parcel.nbytes for parcel in self._parcels)

    def get_read_tasks(self, parallelism: int, *_: object, **__: object) -> list[ReadTask]:
        """One task for each parcel, whatever parallelism is asked for."""
        return [ReadTask(_giving(parcel), BlockMetadata(1, parcel.nbytes, None, None)) for parcel in self._parcels]


def _giving(parcel: pa.Table) -> Callable[[], list[pa.Table]]:
    return lambda: [parcel]
