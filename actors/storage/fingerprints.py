"""Plain values in, a short stable hash out: the identity of a setting, a unit or an artifact."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """The one JSON text of a value. Raises TypeError on anything that has no canonical form."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any, digits: int = 24) -> str:
    """The first `digits` hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


def semantic_fields(section: BaseModel) -> dict[str, Any]:
    """A config section without its execution-only fields, recursively: what changes results and nothing else."""
    out: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        value = getattr(section, name)
        if isinstance(extra, dict) and extra.get("execution"):
            continue
        out[name] = _plain(value)
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return semantic_fields(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else json.loads(json.dumps(value))
