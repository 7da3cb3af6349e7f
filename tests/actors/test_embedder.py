"""Token ids in, vectors out: as the encoder gives them, in the number format that the config asks for."""

import numpy as np
import pyarrow as pa
import pytest

from actors.embedder import Embedder
from actors.loading import EncoderSpec
from actors.models import load_encoder
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.local_store import LocalStore
from actors.tokenizer import Tokenizer
from configs.schema import EmbedConfig, S3Config
from tests.jobs import CHECKPOINTS

MODEL = str(CHECKPOINTS / "tiny-bge-en")
TEXTS = ["a giant panda", "bears eat bamboo in the mountains of China", "panda"]


@pytest.mark.parametrize(("dtype", "kept", "rounding"), [("fp32", pa.float32(), 1e-6), ("fp16", pa.float16(), 1e-3)])
def test_vectors_are_kept_in_the_number_format_that_is_asked_for(dtype, kept, rounding, tmp_path):
    spec = EncoderSpec(EmbedConfig(model=MODEL), "fp32", S3Config(), "cpu")
    parcel = Parcel({"unit": "u", "attempt": "a", "counts": {}}, {"passages": pa.table({"text": TEXTS})})
    embedder = Embedder(spec, Workplace(LocalStore(tmp_path), "vectors/f", "run"), dtype)
    done = Parcel.unpack(embedder(Tokenizer(spec, queries=False)(parcel.pack()))).tables["passages"]
    assert done["vector"].type == pa.list_(kept, 32)
    exact = load_encoder(MODEL, device="cpu", precision="fp32").encode_corpus(TEXTS).dense
    np.testing.assert_allclose(np.array(done["vector"].to_pylist(), np.float32), exact, atol=rounding)
    assert dtype == "fp16" or np.abs(np.array(done["vector"].to_pylist(), np.float32).astype(np.float16) - exact).max() > 1e-6
