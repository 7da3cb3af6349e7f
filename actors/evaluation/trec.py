"""Judgements and runs as bytes and back: the formats of trec_eval and BEIR.

In: the bytes of a qrels or run file (from a disk or from S3), or rankings. Out: plain dicts, or bytes. Knows neither where
the bytes live nor which queries the run was asked (`checks` compares the two).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from configs.errors import UserError

Qrels = dict[str, dict[str, int]]
"""Query id -> passage id -> grade. A grade of 1 or more is relevant; 0 and less are judged and not relevant."""

Rankings = Mapping[str, Sequence[tuple[str, float]]]
"""Query id -> (passage id, score), best first. The order of the sequence is the ranking; the score only decorates it."""

BEIR_COLUMNS = 3
TREC_COLUMNS = 4
RUN_COLUMNS = 6


def read_qrels(path: str | Path) -> Qrels:
    """The judgements of a local file; see `parse_qrels`."""
    return parse_qrels(Path(path).read_bytes(), str(path))


def parse_qrels(data: bytes, name: str) -> Qrels:
    """The judgements in `data`; `name` is what errors call the file.

    The first line decides: three columns are BEIR's (query-id, corpus-id, score; header optional, tabs), four are trec_eval's
    (query, ignored, passage, grade; tabs or blanks).

    Raises:
        UserError: a line with another number of columns, an empty id, a grade that is no integer, two grades for one passage,
            bytes that are not UTF-8, or a file without any relevant passage. Names the file and the line.
    """
    qrels: Qrels = {}
    width = 0
    for number, line in _lines(data, name):
        fields = _qrels_fields(line, width)
        if not width:
            width = len(fields)
            if _is_header(fields):
                continue
        query, passage, grade = _judgement(fields, width, f"{name}, line {number}")
        if qrels.setdefault(query, {}).setdefault(passage, grade) != grade:
            raise UserError(
                f"{name}, line {number}: passage {passage!r} already has another grade for query {query!r}; keep one of the lines"
            )
    if not qrels:
        raise UserError(f"{name} holds no judgement: give lines of query, passage and grade, or leave queries.qrels out")
    if not any(grade > 0 for judged in qrels.values() for grade in judged.values()):
        raise UserError(f"{name} judges no passage relevant: at least one grade must be 1 or more, or leave queries.qrels out")
    return qrels


def write_qrels(qrels: Mapping[str, Mapping[str, int]]) -> bytes:
    """The judgements as BEIR's TSV with its header, in the order of the mapping."""
    lines = ["query-id\tcorpus-id\tscore\n"]
    for query, judged in qrels.items():
        lines.extend(f"{query}\t{passage}\t{grade}\n" for passage, grade in judged.items())
    return "".join(lines).encode()


def format_run(rankings: Rankings, tag: str) -> bytes:
    """The rankings as a trec_eval run: "query Q0 passage rank score tag", one line a passage, ranks from 1.

    trec_eval ignores the rank column, reads scores as 32-bit floats and orders equal ones by passage id. So that it keeps our
    order, a score is written as is where it is below the one before it in float32, else as the next float32 below that one
    (`numpy.nextafter`). Runs of several parts of the queries can be concatenated.

    Raises:
        UserError: an id (or the tag) that is empty or holds white space, which the format cannot carry.
        ValueError: a score that is NaN or infinite.
    """
    _require_token(tag, "the run's tag")
    lines: list[str] = []
    for query, ranking in rankings.items():
        _require_token(query, "query id")
        scores = _strictly_decreasing(np.array([score for _, score in ranking], dtype=np.float32), query)
        for rank, ((passage, _), score) in enumerate(zip(ranking, scores, strict=True), start=1):
            _require_token(passage, "passage id")
            lines.append(f"{query} Q0 {passage} {rank} {score!s} {tag}\n")
    return "".join(lines).encode()


def parse_run(data: bytes, name: str) -> dict[str, list[tuple[str, float]]]:
    """The rankings in a run file, ordered as trec_eval orders them: by float32 score, equal ones by passage id, both downwards.

    Raises:
        UserError: a line without six columns, a score that is no finite number, or a passage listed twice for a query.
    """
    scores: dict[str, dict[str, float]] = {}
    for number, line in _lines(data, name):
        fields = line.split()
        if len(fields) != RUN_COLUMNS:
            raise UserError(f"{name}, line {number}: {len(fields)} columns where a run has 6 (query Q0 passage rank score tag)")
        query, _, passage, _, text, _ = fields
        ranked = scores.setdefault(query, {})
        if passage in ranked:
            raise UserError(f"{name}, line {number}: passage {passage!r} is listed twice for query {query!r}; keep one of the lines")
        ranked[passage] = _score(text, f"{name}, line {number}")
    return {query: sorted(ranked.items(), key=lambda item: (item[1], item[0]), reverse=True) for query, ranked in scores.items()}


def _lines(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}, line {number}: not UTF-8 ({error.reason}); give the file as plain, uncompressed UTF-8 text"
            ) from error
        if line.strip():
            yield number, line


def _qrels_fields(line: str, width: int) -> list[str]:
    tabbed = [field.strip() for field in line.split("\t")]
    # BEIR's ids may hold blanks, so its lines are cut at tabs alone; trec_eval's ids cannot, and its files use either.
    return tabbed if len(tabbed) == (width or BEIR_COLUMNS) else line.split()


def _is_header(fields: list[str]) -> bool:
    return len(fields) == BEIR_COLUMNS and fields[2].lower() in ("score", "relevance", "grade", "label")


def _judgement(fields: list[str], width: int, where: str) -> tuple[str, str, int]:
    if len(fields) not in (BEIR_COLUMNS, TREC_COLUMNS) or len(fields) != width:
        wanted = str(width) if width in (BEIR_COLUMNS, TREC_COLUMNS) else "3 (query, passage, grade) or 4 (query, 0, passage, grade)"
        raise UserError(f"{where}: {len(fields)} columns where {wanted} are expected")
    query, passage, grade = fields[0], fields[-2], fields[-1]
    if not query or not passage:
        raise UserError(f"{where}: an id is empty")
    try:
        return query, passage, int(grade)
    except ValueError as error:
        raise UserError(f"{where}: the grade {grade!r} is not an integer") from error


def _score(text: str, where: str) -> float:
    try:
        value = float(np.float32(text))
    except ValueError as error:
        raise UserError(f"{where}: the score {text!r} is not a number") from error
    if not np.isfinite(value):
        raise UserError(f"{where}: the score {text!r} is not a finite 32-bit number")
    return value


def _strictly_decreasing(scores: np.ndarray, query: str) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise ValueError(f"query {query!r} has a score that is NaN or infinite in float32")
    if scores.size < 2 or bool((scores[1:] < scores[:-1]).all()):
        return scores
    lowest = np.float32(-np.inf)
    for row in range(1, scores.size):
        if scores[row] >= scores[row - 1]:
            scores[row] = np.nextafter(scores[row - 1], lowest)
    return scores


def _require_token(value: str, what: str) -> None:
    if not value or value.split() != [value]:
        raise UserError(f"{what} {value!r} is empty or holds white space, which a trec_eval run cannot carry: rename it")
