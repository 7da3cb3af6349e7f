"""Token ids in, vectors out: the operator that holds the encoder, on a GPU where Ray gave it one.

In: table `passages` with `input_ids`. Out: the same with `vector` (fixed_size_list<float16|float32>[d]) in place of the
ids, with `token_vectors` (large_binary, float16 [tokens, d] row-major) and with `sparse_ids` (list<int32>) and
`sparse_weights` (list<float32>), each where it is asked for.
"""

import time
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from actors.faults import crash_if_told
from actors.loading import EncoderSpec
from actors.models.tokens import TokenBatch
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.receipts import Repeats
from actors.storage.commits import begin

if TYPE_CHECKING:  # torch loads where a model does, not in every process that names this class
    from actors.models.encoded import EncodedTexts


class Embedder:
    """Embeds whole units: sorted by length and cut by token budget inside the unit, where padding goes away."""

    def __init__(self, spec: EncoderSpec, place: Workplace, dtype: Literal["fp16", "fp32"]) -> None:
        self._encoder, self._place = spec.encoder(), place
        self._dtype = np.dtype(np.float16 if dtype == "fp16" else np.float32)
        self._outputs, self._repeats = spec.outputs, Repeats(place)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        if (done := self._repeats.receipt(batch)) is not None:
            return done
        parcel = Parcel.unpack(batch)
        header = parcel.header
        begin(self._place.store, self._place.folder, header["unit"], self._place.run, header["attempt"], "Embedder")
        table = parcel.tables["passages"]
        crash_if_told(table["text"])
        started = time.perf_counter()
        encoded = self._encoder.encode_tokens(TokenBatch.from_arrow(table["input_ids"], header["counts"]["truncated"]), self._outputs)
        table = table.drop_columns(["input_ids"]).append_column("vector", self._vectors(encoded))
        if encoded.multi_vector is not None:
            table = table.append_column("token_vectors", _token_vectors(encoded))
        if encoded.sparse_rows is not None:
            ids, weights = encoded.sparse_rows.to_arrow()
            table = table.append_column("sparse_ids", ids).append_column("sparse_weights", weights)
        work = {"tokens": encoded.tokens, "padded_tokens": encoded.padded_tokens, "embed_seconds": time.perf_counter() - started}
        return parcel.replace({"counts": {**header["counts"], **work}}, passages=table).pack()

    def _vectors(self, encoded: "EncodedTexts") -> pa.FixedSizeListArray:
        values = np.ascontiguousarray(encoded.dense.astype(self._dtype)).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(values), self._encoder.dimension)


def _token_vectors(encoded: "EncodedTexts") -> pa.Array:
    assert encoded.multi_vector is not None
    rows = [vectors.astype(np.float16, copy=False) for vectors in encoded.multi_vector]
    sizes = np.fromiter((row.nbytes for row in rows), np.int64, len(rows))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    flat = np.concatenate(rows) if rows else np.zeros((0, 0), np.float16)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(flat))]
    )
