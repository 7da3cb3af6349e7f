"""An input section of the config in, the list of its source files out. Reads names and sizes, never contents."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from os.path import normpath
from pathlib import PurePosixPath
from typing import Literal, cast

import fsspec
from fsspec.utils import glob_translate

from actors.corpus.tree import Entry, look_up, walk
from actors.storage.access import explained, retried
from actors.storage.filesystems import full_uri, open_filesystem
from configs.errors import UserError
from configs.schema import InputConfig, S3Config

Format = Literal["parquet", "jsonl", "csv", "tsv"]
Compression = Literal["", "gz", "zst"]
Role = Literal["corpus", "queries"]

_FORMATS: dict[str, Format] = {
    "parquet": "parquet",
    "pq": "parquet",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
    "csv": "csv",
    "tsv": "tsv",
}
_KNOWN = ".parquet, .pq, .jsonl, .ndjson, .json, .csv, .tsv (each but parquet also .gz or .zst)"
_SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One input file: URI, how to decode it, bytes, and a tag that changes with its contents (S3 ETag, or size-mtime_ns)."""

    uri: str
    format: Format
    compression: Compression
    size: int
    etag: str
    beir: bool = False
    """Part of a BEIR data set, whose title column needs no naming."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One configured path on its filesystem."""

    spec: InputConfig
    role: Role
    path: str
    root: str


def list_files(spec: InputConfig, s3: S3Config, role: Role) -> list[SourceFile]:
    """The files of a corpus or of the queries, sorted by URI, each once.

    An outage of S3 is waited out for s3.deadline_s. Raises UserError if it is longer, and if a path does not exist, is empty, holds no file
    of a known format, or may not be read. Any other listing error propagates: a failed listing is never an empty corpus.
    """
    found: dict[str, SourceFile] = {}
    for path in spec.path:
        with explained(path):
            fs, root = open_filesystem(path, s3)
            request = _Request(spec, role, path, root if path.startswith("s3://") else normpath(root))
            for file in retried(partial(_list_path, fs, request), s3.deadline_s):
                found[file.uri] = file
    return [found[uri] for uri in sorted(found)]


def _list_path(fs: fsspec.AbstractFileSystem, request: _Request) -> list[SourceFile]:
    try:
        entry = look_up(fs, request.root)
    except FileNotFoundError:
        if has_magic(request.root):
            return _named(request, _match(fs, request.root))
        where = "" if request.path in (request.root, f"s3://{request.root}") else f" (looked for {request.root})"
        raise UserError(f"{request.path} does not exist{where}: correct {request.role}.path.") from None
    if entry is not None:
        return _named(request, [entry])
    entries = walk(fs, request.root)
    if not entries:
        raise UserError(f"{request.path} is an empty folder (names that begin with . or _ do not count): correct {request.role}.path.")
    return _beir(request, entries) or _by_suffix(request, entries)


def _match(fs: fsspec.AbstractFileSystem, pattern: str) -> list[Entry]:
    """Files that match a glob, or lie below a folder that does; hidden ones only if the pattern names them."""
    parts = pattern.split("/")
    plain = next(index for index, part in enumerate(parts) if has_magic(part))
    base = "/".join(parts[:plain]) or "/"
    whole = re.compile(glob_translate(pattern))
    names_hidden = any(part.startswith((".", "_")) for part in parts[plain:])
    chosen = []
    for entry in walk(fs, base, names_hidden):
        above = [entry.path, *(str(parent) for parent in PurePosixPath(entry.path).parents)]
        if any(whole.match(name) for name in above):
            chosen.append(entry)
    return chosen


def _named(request: _Request, entries: list[Entry]) -> list[SourceFile]:
    """Files that the user named one by one or by a glob: an explicit format holds whatever their suffix."""
    if not entries:
        raise UserError(f"{request.path} matches no file: correct {request.role}.path.")
    wanted = request.spec.format
    if wanted == "auto":
        return _by_suffix(request, entries)
    for entry in entries:
        known = _suffix(entry.path)[0]
        if known is not None and not _suits(wanted, known):
            raise UserError(
                f"{entry.path} is {known} by its name, but {request.role}.format says {wanted}: set the format to auto or {known}."
            )
    format_: Format = "jsonl" if wanted == "beir" else wanted
    return [_source(request, entry, format_) for entry in entries]


def _by_suffix(request: _Request, entries: list[Entry]) -> list[SourceFile]:
    """Files of a folder whose suffix is known and suits the configured format."""
    files = []
    for entry in entries:
        known = _suffix(entry.path)[0]
        if known is not None and _suits(request.spec.format, known):
            files.append(_source(request, entry, known if request.spec.format in ("auto", "beir") else cast(Format, request.spec.format)))
    if not files:
        names = [PurePosixPath(entry.path).name for entry in entries]
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        wanted = _KNOWN if request.spec.format == "auto" else f"the format {request.spec.format}"
        raise UserError(
            f"{request.path} has no file of {wanted}; it has: {', '.join(names[:_SHOWN_NAMES])}{more}. "
            f"Correct {request.role}.path, or name the files by a glob and set {request.role}.format."
        )
    return files


def _beir(request: _Request, entries: Iterable[Entry]) -> list[SourceFile]:
    """The role's file of a BEIR folder; empty if this is none, or another format was asked for."""
    wanted = request.spec.format
    if wanted not in ("auto", "beir"):
        return []
    top = {entry.path: entry for entry in entries}
    parts = {name: _first(top, request.root, name) for name in ("corpus", "queries")}
    mine = parts[request.role]
    if wanted == "beir" and mine is None:
        raise UserError(
            f"{request.path} is no BEIR folder: it has no {request.role}.jsonl. Correct {request.role}.path or {request.role}.format."
        )
    if mine is None or (wanted == "auto" and not all(parts.values())):
        return []
    return [_source(request, mine, "jsonl", beir=True)]


def _first(entries: dict[str, Entry], root: str, name: str) -> Entry | None:
    paths = (f"{root}/{name}.jsonl{suffix}" for suffix in ("", ".gz", ".zst"))
    return next((entries[path] for path in paths if path in entries), None)


def _source(request: _Request, entry: Entry, format_: Format, beir: bool = False) -> SourceFile:
    compression = _suffix(entry.path)[1]
    if format_ == "parquet" and compression:
        raise UserError(f"{entry.path} is a compressed Parquet file, which is not supported: decompress it (Parquet compresses inside).")
    beir = beir or request.spec.format == "beir"
    return SourceFile(full_uri(request.path, entry.path), format_, compression, entry.size, entry.etag, beir)


def _suffix(path: str) -> tuple[Format | None, Compression]:
    """Format (None if unknown) and compression that a file name states."""
    name = PurePosixPath(path).name.lower()
    compression: Compression = "gz" if name.endswith(".gz") else "zst" if name.endswith(".zst") else ""
    stem = name.removesuffix(f".{compression}") if compression else name
    known = _FORMATS.get(stem.rpartition(".")[2]) if "." in stem else None
    return (None if known == "parquet" and compression else known), compression


def _suits(wanted: str, known: Format) -> bool:
    delimited = ("csv", "tsv")
    return wanted in ("auto", known) or (wanted == "beir" and known == "jsonl") or (wanted in delimited and known in delimited)
