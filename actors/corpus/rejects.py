"""Rejects to JSON lines and back: what is stored next to a unit's data. Holds no text of any passage."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from actors.corpus.schema import Reject


def encode_rejects(rejects: Iterable[Reject]) -> bytes:
    """JSON lines in UTF-8, ordered by source and row, so that equal rejects are equal bytes."""
    ordered = sorted(rejects, key=lambda reject: (reject.source, reject.row, reject.reason))
    lines = (json.dumps(asdict(reject), sort_keys=True, ensure_ascii=True, separators=(",", ":")) for reject in ordered)
    return "".join(f"{line}\n" for line in lines).encode()


def decode_rejects(data: bytes) -> list[Reject]:
    """The rejects of `encode_rejects`' bytes."""
    return [Reject(**json.loads(line)) for line in data.splitlines()]
