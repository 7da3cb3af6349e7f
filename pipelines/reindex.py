"""The corpus as it is now and the newest version in, the next version out: compare -> embed what is new -> index -> judge -> publish.

Two runs may work at once. One publishes; the other compares again, with the version that won, and finds its own texts embedded.
"""

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from actors.corpus.rejects import encode_rejects
from actors.storage.commits import committed_units
from actors.storage.fingerprints import canonical_json
from actors.storage.leases import lease
from actors.storage.manifests import Manifest, Superseded, newest_version, publish, require_files
from configs.errors import UserError
from configs.schema import Config
from pipelines.cataloguing import write_catalogue, write_first_catalogue
from pipelines.changes import Changes
from pipelines.delta import draft_delta, same_index
from pipelines.embed import Embedding, describe_embedding
from pipelines.gate import judge
from pipelines.index import draft_index
from pipelines.job import Job, open_job
from pipelines.outcome import Outcome
from pipelines.progress import Display
from pipelines.reembedding import count_work, take_in
from pipelines.replanning import find_changes, same_input
from pipelines.safeguards import check_changes, check_lost_share
from pipelines.whole_corpus import embed_corpus


def reindex(config: Config, display: Display | None = None) -> Outcome:
    """Make the newest version hold the corpus as it is now. Raises UserError where that looks like a loss; all is as it was then."""
    with open_job(config, display, reads_corpus=False) as job:
        return follow(job, describe_embedding(job))


def follow(job: Job, embedding: Embedding) -> Outcome:
    """As `reindex`, inside a job. Goes on from whatever version another run publishes meanwhile."""
    tried: list[tuple[int, np.ndarray]] = []
    while True:
        newest = newest_version(job.store)
        number = newest.version + 1 if newest else 1
        with lease(job.store, number, job.run, job.config.reindex.lease_s, partial(_wait, job, number)) as alone:
            try:
                if alone:
                    return _attempt(job, embedding, newest, tried)
            except Superseded:
                job.display.say(f"reindex: another run published version {number} first; comparing with that")


def _wait(job: Job, number: int, run: str) -> None:
    patience = job.config.reindex.lease_s
    job.display.say(f"reindex: {run} is at work on version {number}; waiting until it is done, or silent for {patience:g} s")


def _attempt(job: Job, embedding: Embedding, newest: Manifest | None, tried: list[tuple[int, np.ndarray]]) -> Outcome:
    if newest is None or newest.embedding["fingerprint"] != embedding.fingerprint:
        return _whole(job, embedding, newest)
    if same_input(job, newest) and same_index(job, newest):
        return Outcome(newest, newest.version)
    changes = find_changes(job, newest)
    _keep_rejects(job, changes)  # before the checks, whose sentences speak of them
    check_changes(job.config, changes)
    _refuse_overlap(job, tried, changes)
    taken = take_in(job, embedding, changes)
    if taken.killers:
        changes.rejects += taken.killers
        _keep_rejects(job, changes)
    delta = draft_delta(job, embedding, changes, taken.records)
    if not delta.draft.rows:
        raise UserError("Nothing would be left in the index: every passage was rejected when it was embedded. See the rejects files.")
    verdict = judge(job, embedding, delta.draft, newest) if delta.draft.content != newest.content else None
    outcome = Outcome(delta.draft, newest.version, changes.summary, taken.tokens, taken.recalled, delta, verdict)
    _refuse_worse(job, outcome)
    write_catalogue(job, changes, delta.draft)
    return _publish(job, outcome, verdict.after if verdict else newest.quality)


def _keep_rejects(job: Job, changes: Changes) -> None:
    if changes.rejects:
        job.store.put(f"{job.folder}/rejects-corpus.jsonl", encode_rejects(changes.rejects))


def _whole(job: Job, embedding: Embedding, newest: Manifest | None) -> Outcome:
    """The first version, or the first under another embedding: built beside the old one, and its manifest is the switch."""
    if job.config.reindex.mode == "upsert":
        raise UserError(
            f"{job.store.uri} has no version with this embedding to upsert into: index the whole corpus first (--mode snapshot)."
        )
    before = committed_units(job.store, embedding.folder)
    records = embed_corpus(job, embedding)
    draft, repeats = draft_index(job, embedding, records)
    if newest is not None:
        check_lost_share(job.config, newest, newest.rows - draft.rows)
    rejected = int(sum(record.counts["rejected"] for record in records))
    counts = {"added": draft.rows, "rejected": rejected, "repeated": len(repeats)}
    tokens, recalled = count_work(records, before)
    verdict = judge(job, embedding, draft, newest)
    outcome = Outcome(draft, newest.version if newest else 0, counts, tokens, recalled, verdict=verdict)
    _refuse_worse(job, outcome)
    write_first_catalogue(job, draft)
    return _publish(job, outcome, verdict.after)


def _refuse_worse(job: Job, outcome: Outcome) -> None:
    """Raise UserError when the gate found fault with the draft, and leave it beside the report."""
    if outcome.verdict is not None and outcome.verdict.faults:
        key = f"{job.folder}/reindex/unpublished.json"
        job.store.put(key, canonical_json({**outcome.told(), "manifest": asdict(outcome.manifest)}).encode())
        raise UserError(
            f"The new version was not published: {'; '.join(outcome.verdict.faults)} (the limits are in reindex:). "
            f"{job.store.uri}/{key} has what was measured, and the version as it would have been."
        )


def _publish(job: Job, outcome: Outcome, quality: dict[str, float]) -> Outcome:
    """Raises Superseded when another run came first, and UserError when gc took what the version names."""
    require_files(job.store, outcome.manifest)
    done = replace(outcome, manifest=publish(job.store, replace(outcome.manifest, quality=quality), outcome.parent))
    version = done.manifest.version
    if version != outcome.parent:
        job.store.put(f"{job.folder}/reindex/{version:08d}.json", canonical_json(done.told()).encode())
        job.events.add("version", version=version, segments=len(done.manifest.segments), passages=done.manifest.rows, flush=True)
    return done


def _refuse_overlap(job: Job, tried: list[tuple[int, np.ndarray]], changes: Changes) -> None:
    """An upsert that lost its race goes on, unless the winner edited what it edits: whose word is newer is not ours to say.

    `tried`: versions compared with before, and what there was to change then (TOUCHED).
    """
    mine = changes.touched
    for version, theirs in tried if job.config.reindex.mode == "upsert" else ():
        _, here, there = np.intersect1d(mine["id"], theirs["id"], return_indices=True)
        both = int((mine["before"][here] != theirs["before"][there]).sum())
        if both:
            raise UserError(
                f"{both:,} of the passages to upsert were changed by another run after version {version}: look at version "
                f"{changes.newest.version}, then run again to put these edits over those."
            )
    tried.append((changes.newest.version, mine))
