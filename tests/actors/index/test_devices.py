"""What can be said of GPUs on a machine without one."""

import numpy as np
import pytest

from actors.index.devices import gpu_available
from actors.index.segment import Segment
from configs.schema import IndexConfig


def test_a_gpu_is_refused_with_a_remedy_where_there_is_none(generation, build, tmp_path):
    made = generation(IndexConfig(kind="flat"))
    (segment,) = build(made, [np.arange(50)])
    if gpu_available():
        assert Segment.open(tmp_path / "0", made.plan, use_gpu=True).rows == segment.rows
        return
    with pytest.raises(RuntimeError, match="install faiss-gpu"):
        Segment.open(tmp_path / "0", made.plan, use_gpu=True)
