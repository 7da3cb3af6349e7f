"""Published versions in, text for people out; and going back to one."""

import time
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import yaml

from actors.catalogue.contrasting import Contrast, contrast
from actors.opening import PassageSource
from actors.storage.manifests import Manifest, newest_number, newest_version, publish, read_version, require_files, version_numbers
from actors.storage.objects import Store, open_store
from actors.storage.pins import pinned
from configs.errors import UserError
from configs.schema import Config

_SHOWN_IDS = 5
_KINDS = ("added", "removed", "edited", "restated")


def version_lines(config: Config) -> list[str]:
    """A line per version, oldest first."""
    store = open_store(config.store, config.s3)
    manifests = [read_version(store, number) for number in version_numbers(store)]
    first = {manifest.identity: manifest.version for manifest in reversed(manifests)}
    return [_line(manifest, first[manifest.identity]) for manifest in manifests] or [f"{store.uri} has no version yet."]


def rollback(config: Config, number: int) -> Manifest:
    """Publish a version equal to an older one, which answers every query as that did. Raises UserError when its files are gone."""
    store = open_store(config.store, config.s3)
    base, older = newest_number(store), read_version(store, number)
    with pinned(store, number):
        require_files(store, older)
        return publish(store, older, base)


def difference_lines(config: Config, first: int, second: int) -> Iterator[str]:
    """What the second version has in place of the first: passages, with a few ids, and settings."""
    store = open_store(config.store, config.s3)
    before, after = read_version(store, first), read_version(store, second)
    for version in (before, after):
        require_files(store, version)
    found = list(contrast(store, before, after))
    for kind in _KINDS:
        count = sum(len(getattr(part, kind)) for part in found)
        yield f"{count:,} {kind}{_examples(store, before if kind == 'removed' else after, found, kind) if count else ''}"
    kept = {entry.segment for entry in before.segments} & {entry.segment for entry in after.segments}
    alone = [len(version.segments) - len(kept) for version in (before, after)]
    yield f"{len(kept)} segments shared, {alone[0]} only in version {first}, {alone[1]} only in version {second}"
    for title, old, new in (("embedding", before.embedding, after.embedding), ("index", before.index["plan"], after.index["plan"])):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                yield f"{title} {name}: {old.get(name)} became {new.get(name)}"


def _examples(store: Store, version: Manifest, found: list[Contrast], kind: str) -> str:
    rows = np.concatenate([getattr(part, kind)[:_SHOWN_IDS] for part in found])[:_SHOWN_IDS]
    ids = PassageSource(store, version.segments).take(rows["segment"].tolist(), rows["row"].tolist(), ["id"])["id"].to_pylist()
    return f", such as {', '.join(sorted(ids))}"


def version_text(config: Config, number: int | None) -> str:
    """One version as YAML."""
    store = open_store(config.store, config.s3)
    return yaml.safe_dump(asdict(_one(store, number)), sort_keys=False, allow_unicode=True)


def _one(store: Store, number: int | None) -> Manifest:
    manifest = newest_version(store) if number is None else read_version(store, number)
    if manifest is None:
        raise UserError(f"{store.uri} has no version yet: run `raytrieve index` with this config first.")
    return manifest


def _line(manifest: Manifest, first: int) -> str:
    """`first`: the oldest version that holds the same."""
    created = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(manifest.created))
    plan, embedding = manifest.index["plan"], manifest.embedding
    recalls = [s.details["recall"] for s in manifest.segments if s.details.get("recall") is not None]
    recall = f", recall@{manifest.segments[0].details['recall_k']} {min(recalls):.4f}" if recalls else ""
    made = f"{manifest.action} by run {manifest.run}" if first == manifest.version else f"back to version {first}"
    return (
        f"{manifest.version:>4}  {created} UTC  {manifest.rows:,} passages in {len(manifest.segments)} segments  "
        f"{plan['factory']}{recall}  {embedding['model']} ({embedding['precision']})  {made}"
    )
