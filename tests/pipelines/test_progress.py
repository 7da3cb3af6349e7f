"""What a log says of a stage while it runs: units, rows, tokens, their rate and the time left."""

import pytest

from pipelines import progress
from pipelines.progress import Display


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that pass, told by the test."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def receipt(rows: int, tokens: int = 0) -> dict[str, object]:
    return {"unit": "u", "counts": {"rows": rows, "tokens": tokens}}


def test_a_log_is_told_every_few_seconds_how_fast_it_goes_and_how_long_it_will_take(clock, capsys):
    with Display().stage("embed", units=10, resumed=2) as report:
        for _ in range(4):
            clock[0] += 3.0
            report(receipt(rows=600, tokens=30_000))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "embed: 4/10 units, 2 found done, 1,200 rows (200/s), 60,000 tokens (10,000/s), 6.0s elapsed, ETA 18s",
        "embed: 6/10 units, 2 found done, 2,400 rows (200/s), 120,000 tokens (10,000/s), 12s elapsed, ETA 12s",
        "embed: 6/10 units, 2 found done, 2,400 rows (200/s), 120,000 tokens (10,000/s), 12s elapsed, ETA 12s",
    ]


def test_units_found_done_do_not_make_the_time_left_look_shorter(clock, capsys):
    with Display().stage("index", units=1_000, resumed=900) as report:
        clock[0] += 3600.0
        report(receipt(rows=0))
    assert "901/1000 units, 900 found done, 1h00m elapsed, ETA 99h00m" in capsys.readouterr().err


def test_a_stage_without_a_finished_unit_knows_no_time_left_and_a_done_one_has_none(clock, capsys):
    with Display().stage("rerank", units=1):
        pass
    with Display().stage("rerank", units=1) as report:
        clock[0] += 61.0
        report(receipt(rows=5))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "rerank: 0/1 units, 0.0s elapsed, ETA unknown"
    assert second == "rerank: 1/1 units, 5 rows (0/s), 1m01s elapsed, ETA 0s"
