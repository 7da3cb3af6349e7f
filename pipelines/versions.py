"""Published versions in, text for people out."""

import time
from dataclasses import asdict

import yaml

from actors.storage.manifests import Manifest, newest_version, read_version, version_numbers
from actors.storage.objects import Store, open_store
from configs.errors import UserError
from configs.schema import Config


def version_lines(config: Config) -> list[str]:
    """A line per version, oldest first."""
    store = open_store(config.store, config.s3)
    manifests = [read_version(store, number) for number in version_numbers(store)]
    return [_line(manifest) for manifest in manifests] or [f"{store.uri} has no version yet."]


def version_text(config: Config, number: int | None) -> str:
    """One version as YAML."""
    store = open_store(config.store, config.s3)
    return yaml.safe_dump(asdict(_one(store, number)), sort_keys=False, allow_unicode=True)


def _one(store: Store, number: int | None) -> Manifest:
    manifest = newest_version(store) if number is None else read_version(store, number)
    if manifest is None:
        raise UserError(f"{store.uri} has no version yet: run `raytrieve index` with this config first.")
    return manifest


def _line(manifest: Manifest) -> str:
    created = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(manifest.created))
    plan, embedding = manifest.index["plan"], manifest.embedding
    recalls = [s.details["recall"] for s in manifest.segments if s.details.get("recall") is not None]
    recall = f", recall@{manifest.segments[0].details['recall_k']} {min(recalls):.4f}" if recalls else ""
    return (
        f"{manifest.version:>4}  {created} UTC  {manifest.rows:,} passages in {len(manifest.segments)} segments  "
        f"{plan['factory']}{recall}  {embedding['model']} ({embedding['precision']})  run {manifest.run}"
    )
