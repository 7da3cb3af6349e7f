"""A path in, what the JSON there says out. For the small files of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from configs.errors import UserError


def read_json(path: Path) -> Any:
    """A JSON file. Raises UserError naming it when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: copy the whole checkpoint there.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): copy the checkpoint again.") from error


def optional_json(path: Path) -> dict[str, Any]:
    """The same of a file that need not be there: empty where it is not."""
    return read_json(path) if path.is_file() else {}
