"""What a process with a model keeps of the memory that it frees."""

import os
import platform
import subprocess
import sys

import pytest

from tests.jobs import CHECKPOINTS

_PROGRAM = """
import ctypes, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: large pages would be had in one go
from actors.models import load_encoder
load_encoder(sys.argv[1], device="cpu")
kept = torch.ones(4 << 20)  # 16 MB, as what a layer takes and frees
del kept
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(4 << 20)
pages = 20 * (16 << 20) // resource.getpagesize()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / pages)
"""


def pages_had_anew(**settings):
    """What part of the pages of 20 blocks that are taken and freed one after the other beside a loaded model."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))} | settings
    command = [sys.executable, "-c", _PROGRAM, str(CHECKPOINTS / "tiny-bge-en")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep what they please")
def test_with_a_model_memory_that_is_freed_serves_again_unless_the_environment_says_otherwise():
    assert pages_had_anew() < 0.2
    assert pages_had_anew(MALLOC_MMAP_THRESHOLD_="131072") > 0.9
