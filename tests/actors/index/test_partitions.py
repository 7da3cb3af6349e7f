"""The promise of the index: what is found does not depend on how the corpus is cut into segments."""

import numpy as np
import pytest

from actors.index.hits import Hits, merge_hits
from actors.index.segment import Segment
from configs.schema import IndexConfig

# With two of about 76 lists probed, segments of an eighth run short and widen, the whole corpus does not.
CONFIGS = [
    IndexConfig(kind="flat"),
    IndexConfig(kind="ivf_flat", nprobe=2),
    IndexConfig(kind="ivf_sq8", nprobe=2),
    IndexConfig(kind="ivf_sq8", nprobe=40),
]


def _cut(rng: np.random.Generator, segments: int, even: bool) -> list[np.ndarray]:
    owner = rng.integers(0, segments, 3000) if even else np.minimum(rng.geometric(0.5, 3000) - 1, segments - 1)
    return [np.flatnonzero(owner == number) for number in range(segments)]


def _search(segments: list[Segment], queries: np.ndarray, k: int) -> Hits:
    return merge_hits([segment.search(queries, k) for segment in segments], k)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.nprobe}")
def test_one_two_and_eight_segments_give_the_same_ids_and_the_same_score_bits(config, corpus, generation, build):
    made, rng = generation(config), np.random.default_rng(1)
    whole = _search(build(made, [np.arange(3000)]), corpus.queries, 100)
    assert (whole.counts == 100).all()
    for segments, even in ((2, True), (8, True), (8, False)):
        cut = _search(build(made, _cut(rng, segments, even)), corpus.queries, 100)
        assert (cut.ids == whole.ids).all()
        assert cut.scores.tobytes() == whole.scores.tobytes()


@pytest.mark.parametrize("kind", ["flat", "ivf_flat", "ivf_sq8"])
def test_with_every_list_visited_the_hits_are_those_of_a_sort_of_everything(kind, corpus, generation, build):
    made = generation(IndexConfig(kind=kind, nprobe=10_000))
    hits = _search(build(made, _cut(np.random.default_rng(2), 3, even=True)), corpus.queries, 95)
    ids, scores = corpus.oracle(95)
    assert (hits.ids == ids).all()
    assert hits.scores.tobytes() == scores.tobytes()


@pytest.mark.parametrize("kind", ["flat", "ivf_sq8"])
def test_a_query_scores_the_same_alone_as_in_a_batch(kind, corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind=kind, nprobe=5)), [np.arange(3000)])
    batch = segment.search(corpus.queries, 50)
    for number in range(0, len(corpus.queries), 5):
        alone = segment.search(corpus.queries[number : number + 1], 50)
        assert (alone.ids[0] == batch.ids[number]).all()
        assert alone.scores[0].tobytes() == batch.scores[number].tobytes()


def test_order_of_rows_within_a_segment_changes_nothing(corpus, generation, build):
    made, rng = generation(IndexConfig(kind="ivf_sq8", nprobe=3)), np.random.default_rng(3)
    forward, shuffled = build(made, [np.arange(3000), rng.permutation(3000)])
    one, other = forward.search(corpus.queries, 100), shuffled.search(corpus.queries, 100)
    assert (one.ids == other.ids).all()
    assert one.scores.tobytes() == other.scores.tobytes()
