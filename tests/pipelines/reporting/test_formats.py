"""Numbers as people read them."""

import pytest

from pipelines.reporting import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\u2013"),
        (0, "0.0 s"),
        (0.0123, "12 ms"),
        (3.14, "3.1 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (725, "12 min 5 s"),
        (3599.7, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (187_300, "2 d 4 h"),
    ],
)
def test_durations_use_two_units(seconds, text):
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (6.104, "6.10"),
        (99.96, "100"),
        (999.4, "999"),
        (999.6, "1.00k"),
        (1000, "1k"),
        (16_300_000, "16.3M"),
        (2e9, "2G"),
    ],
)
def test_large_numbers_keep_three_digits(number, text):
    assert formats.short(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.0004, "<0.1%"), (0.9996, ">99.9%"), (0.051, "5.1%"), (0.62, "62%"), (0.996, "99.6%"), (None, "\u2013")],
)
def test_a_share_that_is_not_all_is_never_called_all(number, text):
    assert formats.share(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0.0671, "+0.067"), (-0.0671, "\u22120.067"), (-0.0001, "0.000"), (0.0, "0.000"), (None, "\u2013")]
)
def test_changes_carry_their_sign(number, text):
    assert formats.signed(number) == text


def test_sizes_and_measures_are_named_in_full():
    assert (formats.size(201_000_000), formats.size(512), formats.size(1_230_000_000)) == ("201 MB", "512 B", "1.23 GB")
    assert [formats.measure_name(name) for name in ("ndcg_at_10", "precision_at_5", "mrr")] == ["nDCG@10", "Precision@5", "MRR"]
    assert (formats.plural(1, "query", "queries"), formats.plural(1200, "unit")) == ("1 query", "1,200 units")
