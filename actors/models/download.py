"""A hub id or a remote folder in, a local folder out. Knows how bytes come to this node and nothing of what is in them."""

import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from actors.storage.access import retried
from configs.errors import UserError

_PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin", "adapter_model.bin", "*.pt")
_SKIPPED_FOLDERS = ("onnx", "openvino", "imgs", "assets", "runs")
_PROBE_SECONDS = 5.0


def fetch_from_hub(model: str, revision: str | None, cache_dir: Path | None) -> Path:
    """The snapshot folder of a hub model. The local cache (HF_HOME, or `cache_dir`/hub) is asked first, so a filled one needs no network.

    Raises UserError within seconds when neither the cache nor the hub has it.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if found := find_in_hub_cache(model, revision, cache_dir):
        return found
    place = _place(revision, cache_dir)
    try:
        HfApi().model_info(model, revision=revision, timeout=_PROBE_SECONDS)  # fails fast where a download would retry for minutes
        return Path(snapshot_download(model, etag_timeout=_PROBE_SECONDS, **place))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise UserError(
            f"the model hub has no model {model!r}{at} for you: check the name, log in if it is gated, or give a folder."
        ) from error
    except Exception as error:
        raise UserError(
            f"cannot reach the model hub for {model!r}, and no folder of that name is here: "
            "download the folder on a machine with network and give its path, or set HF_HOME to a filled cache."
        ) from error


def find_in_hub_cache(model: str, revision: str | None = None, cache_dir: Path | None = None) -> Path | None:
    """The snapshot folder of a hub model in the local cache; none where it is not there. Raises UserError on what is no hub id."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True, **_place(revision, cache_dir)))
    except HFValidationError as error:
        raise UserError(
            f"{model!r} is neither a model folder nor a hub id: give a folder, owner/name, s3://bucket/folder or pkg://package/folder."
        ) from error
    except LocalEntryNotFoundError:
        return None


def _place(revision: str | None, cache_dir: Path | None) -> dict[str, Any]:
    return {
        "revision": revision,
        "cache_dir": cache_dir / "hub" if cache_dir else None,
        "allow_patterns": list(_PATTERNS),
        "ignore_patterns": [f"{name}/*" for name in _SKIPPED_FOLDERS],
    }


def fetch_folder(filesystem: Any, path: str, uri: str, cache_dir: Path, patience_s: float = 0.0) -> Path:
    """A local copy of a remote folder (an fsspec filesystem and a path on it), made at most once for the same remote bytes.

    An outage is waited out for `patience_s` with each file.

    The copy's name hangs on the remote path and its files' ETags, so a changed remote folder is another copy. It appears whole or
    not at all, whichever of several processes makes it. Raises UserError when nothing is there.
    """
    files = retried(partial(_listing, filesystem, path), patience_s)
    if not files:
        raise UserError(f"no model folder at {uri!r}: no config, weights or tokenizer files are there.")
    identity = "\n".join([uri.rstrip("/"), *(f"{name} {_tag(entry)}" for name, entry in sorted(files.items()))])
    name = "--".join(path.strip("/").split("/")[-3:])[-120:]  # kept, for it may tell the model's family
    target = cache_dir / f"{name}--{hashlib.sha256(identity.encode()).hexdigest()}"
    if target.is_dir():
        return target
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix="partial-") as staging:
        for name, entry in files.items():
            retried(partial(_copy, filesystem, entry, Path(staging, "model", name)), patience_s)
        try:
            os.replace(Path(staging, "model"), target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same bytes
                raise
    return target


def _listing(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:
    """Relative name and fsspec entry of each file worth copying."""
    filesystem.invalidate_cache()
    try:
        found = filesystem.find(path, detail=True)
    except FileNotFoundError:
        return {}
    files = {PurePosixPath(name).relative_to(PurePosixPath(path)): {**entry, "name": name} for name, entry in found.items()}
    astray = next((name for name in files if ".." in name.parts), None)
    if astray is not None:  # S3 takes it for a name like any other; a disk does not
        raise UserError(f"{path} holds an object named {str(astray)!r}, which leads out of the model's folder: remove that object.")
    return {str(name): entry for name, entry in files.items() if _wanted(name)}


def _wanted(name: PurePosixPath) -> bool:
    return any(name.match(pattern) for pattern in _PATTERNS) and name.parts[0] not in _SKIPPED_FOLDERS


def _tag(entry: dict[str, Any]) -> str:
    return str(entry.get("ETag") or (entry["size"], entry.get("mtime")))


def _copy(filesystem: Any, entry: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    filesystem.get_file(entry["name"], str(target))
    if target.stat().st_size != entry["size"]:
        raise OSError(f"{entry['name']} came with {target.stat().st_size} bytes instead of {entry['size']}")
