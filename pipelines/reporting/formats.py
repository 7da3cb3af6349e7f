"""Numbers to the short texts that people read. None becomes a dash. Knows nothing of the report's structure."""

DASH = "\u2013"
MINUS = "\u2212"
STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
NAMES = {"ndcg": "nDCG", "recall": "Recall", "map": "MAP", "precision": "Precision", "mrr": "MRR"}


def measure_name(measure: str) -> str:
    """ndcg_at_10 as nDCG@10."""
    kind, _, cut = measure.partition("_at_")
    name = NAMES.get(kind, kind)
    return f"{name}@{cut}" if cut else name


def value(number: float | None) -> str:
    """A measure or a score: three decimals."""
    return DASH if number is None else f"{number:.3f}".replace("-", MINUS)


def signed(number: float | None) -> str:
    """A change: three decimals with a sign."""
    if number is None:
        return DASH
    # Adding zero turns a rounded -0.0 into 0.0.
    rounded = round(number, 3) + 0.0
    return f"{rounded:+.3f}".replace("-", MINUS) if rounded else "0.000"


def share(number: float | None) -> str:
    """A share of 1 as per cent, with a decimal where that matters; what is not all is never called 100%."""
    if number is None:
        return DASH
    percent = 100 * number
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.0f}%" if percent in (0, 100) or 10 <= percent < 99 else f"{percent:.1f}%"


def whole(number: float | None) -> str:
    """A count with thousands separated."""
    return DASH if number is None else f"{number:,.0f}"


def short(number: float | None) -> str:
    """A rate or a large count in three digits: 12.3k, 4.56M."""
    if number is None:
        return DASH
    for step, suffix in STEPS:
        if abs(number) >= 0.9995 * step:
            return f"{_three(number / step)}{suffix}"
    return _three(number)


def size(number: int | None) -> str:
    """Bytes in decimal units: 1.23 GB."""
    if number is None:
        return DASH
    text = short(float(number))
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} B"


def duration(seconds: float | None) -> str:
    """3.4 s, 12 min 5 s, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return DASH
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 0.1 or seconds == 0 else f"{1000 * seconds:.0f} ms"
    whole_seconds = round(seconds)
    for step, large, below, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole_seconds >= step:
            first, rest = divmod(whole_seconds, step)
            return f"{first} {large} {rest // below} {small}"
    return f"{whole_seconds} s"


def plural(number: int, word: str, words: str | None = None) -> str:
    """1 query, 3 queries."""
    return f"{number:,} {word if number == 1 else words or f'{word}s'}"


def _three(number: float) -> str:
    magnitude = abs(number)
    if magnitude >= 99.95 or number == int(number):
        return f"{number:.0f}"
    return f"{number:.1f}" if magnitude >= 9.995 else f"{number:.2f}"
