"""The config and what a re-index found in; UserError out where that looks like an accident. And the ids to delete by name, read here."""

from collections import Counter

import numpy as np

from actors.catalogue.hashing import documents_of, hash_texts
from actors.storage.filesystems import read_file
from actors.storage.manifests import Manifest
from configs.errors import UserError
from configs.schema import Config
from pipelines.changes import Changes
from pipelines.embed import check_reject_share


def check_changes(config: Config, changes: Changes) -> None:
    """Stop on what looks like an accident."""
    _refuse_contested(config, changes)
    counts, newest = changes.summary, changes.newest
    reasons = Counter(reject.reason.partition(":")[0] for reject in changes.rejects) + Counter({"duplicate id": counts["repeated"]})
    # Over all rows, as a run over the whole corpus would judge: one bad row is much of a small file and little of a corpus.
    check_reject_share(changes.rows_read + counts["unread"], reasons, config.corpus, "corpus")
    if config.reindex.mode == "snapshot":
        check_lost_share(config, newest, counts["deleted"])
    if not changes.passages:
        raise UserError("Nothing would be left in the index: give a corpus with at least one passage that is not deleted.")


def check_lost_share(config: Config, newest: Manifest, lost: int) -> None:
    """Stop where a snapshot lacks more of the newest version's passages than reindex.max_deleted_share."""
    share = lost / max(1, newest.rows)
    if share > config.reindex.max_deleted_share:
        raise UserError(
            f"The corpus lacks {lost:,} of the {newest.rows:,} passages of version {newest.version} ({share:.1%}, but "
            f"reindex.max_deleted_share allows {config.reindex.max_deleted_share:.1%}): mend corpus.path, or raise the share "
            "if they are to go."
        )


def deletions_by_name(config: Config) -> list[str]:
    """The ids to delete by name."""
    uri = config.reindex.deletions
    if uri is None:
        return []
    if config.reindex.mode == "snapshot":
        raise UserError("reindex.deletions is for mode upsert: in a snapshot, what is missing in the corpus is deleted.")
    try:
        lines = read_file(uri, config.s3).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{uri} is not UTF-8 (byte {error.start}): write it as UTF-8, one id a line.") from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _refuse_contested(config: Config, changes: Changes) -> None:
    """Stop where a batch brings what it deletes: a second run, which need not read the files again, would end otherwise."""
    contested = np.concatenate([part.contested for part in changes.found])
    if not len(contested):
        return
    both = np.isin(documents_of(hash_texts(changes.named)), documents_of(contested))
    found = [name for name, here in zip(changes.named, both, strict=True) if here]
    more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    raise UserError(
        f"{found[0]}{more} of {config.reindex.deletions} stand in the files to upsert too: take them out of the one or the other."
    )
