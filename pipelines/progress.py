"""Receipts in, a live view out: rich bars in a terminal, plain lines in a log. Counts units, rows and tokens; rate and ETA."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

_EVERY_S = 5.0  # seconds between plain lines


class StageProgress:
    """The counts of one stage since it began, and those it found done already."""

    def __init__(self, name: str, units: int, resumed: int) -> None:
        self.name, self.units, self.resumed = name, units, resumed
        self.counts: Counter[str] = Counter()
        self.finished = 0
        self.started = time.monotonic()

    def add(self, counts: Mapping[str, float]) -> None:
        """Take a finished unit's counts."""
        self.finished += 1
        self.counts.update(counts)

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self.started

    @property
    def done(self) -> int:
        """Units done, found or made."""
        return self.resumed + self.finished

    def line(self) -> str:
        """The state in words."""
        seconds = max(self.seconds, 1e-9)
        rows, tokens = int(self.counts["rows"]), int(self.counts["tokens"])
        parts = [f"{self.name}: {self.done}/{self.units} units"]
        if self.resumed:
            parts.append(f"{self.resumed} found done")
        if rows:
            parts.append(f"{rows:,} rows ({rows / seconds:,.0f}/s)")
        if tokens:
            parts.append(f"{tokens:,} tokens ({tokens / seconds:,.0f}/s)")
        return ", ".join([*parts, f"{duration(self.seconds)} elapsed", f"ETA {self.eta()}"])

    def eta(self) -> str:
        """Time left at the rate so far."""
        left = self.units - self.done
        if left <= 0:
            return "0s"
        return duration(self.seconds / self.finished * left) if self.finished else "unknown"


class Display:
    """Shows the stages one after another, on stderr. `live=None` looks whether stderr is a terminal."""

    def __init__(self, live: bool | None = None) -> None:
        self._console = Console(stderr=True)
        self._live = sys.stderr.isatty() if live is None else live

    def say(self, sentence: str) -> None:
        """A line between stages."""
        self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, units: int, resumed: int = 0) -> Iterator["Reporter"]:
        """Show one stage while it runs, and its totals when it ends."""
        state = StageProgress(name, units, resumed)
        if self._live:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[line]}"),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self._console, transient=True) as bars:
                task = bars.add_task(name, total=units, completed=resumed, line="")
                yield Reporter(state, lambda: bars.update(task, completed=state.done, line=state.line()))
        else:
            spoken = _Throttled(lambda: self.say(state.line()))
            yield Reporter(state, lambda: spoken() if state.done < state.units else None)  # the last line comes below
        self.say(state.line())


class Reporter:
    """What a stage calls for every receipt."""

    def __init__(self, state: StageProgress, show: object) -> None:
        self.state, self._show = state, show

    def __call__(self, receipt: Mapping[str, object]) -> None:
        """See the class."""
        counts = receipt["counts"]
        assert isinstance(counts, Mapping)
        self.state.add(counts)
        self._show()  # type: ignore[operator]


class _Throttled:
    def __init__(self, show: object) -> None:
        self._show, self._last = show, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last >= _EVERY_S:
            self._last = time.monotonic()
            self._show()  # type: ignore[operator]


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"
