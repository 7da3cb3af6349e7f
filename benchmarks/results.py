"""What a comparison found in; a table on the screen, a JSON file and a plot out."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.timing import LEAST, OURS, Timing
from pipelines.reporting.drawing import AFTER, BEFORE, INK, drawn, grid

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Case:
    """One setting in which contestants met. `notes`: by contestant, what to know of it; `facts`: of the setting and what follows of it."""

    title: str
    timings: Sequence[Timing]
    ours: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For JSON: every contestant, and how many times faster ours is in each unit that both have."""
        ours = next(timing for timing in self.timings if timing.name == self.ours)
        rows = [{**timing.plain(), "note": self.notes.get(timing.name, "")} for timing in self.timings]
        ratios = {timing.name: ours.over(timing) for timing in self.timings if timing.unit == ours.unit and timing is not ours}
        return {"case": self.title, "ours": self.ours, "contestants": rows, "ours_over": ratios, "facts": dict(self.facts)}


def publish(name: str, cases: Sequence[Case], left_out: Mapping[str, str], folder: Path | None = None) -> Path:
    """Print the cases, write NAME.json and NAME.png into `folder` (default benchmarks/results). Returns the path of the JSON."""
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "command": " ".join(["python -m benchmarks", *_without_folder(sys.argv[1:])]),
        "machine": describe(),
        "left_out": dict(left_out),
        "cases": [case.plain() for case in cases],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    _plot(name, cases, folder / f"{name}.png")
    _print(document)
    print(f"\n{path}\n{folder / name}.png")
    return path


def _without_folder(arguments: Sequence[str]) -> list[str]:
    """Arguments without --out: where the files went is the machine's own, and changes no figure."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    return parser.parse_known_args(arguments)[1]


def _print(document: Mapping[str, Any]) -> None:
    machine = document["machine"]
    amx, bf16 = ("with" if machine[name] else "without" for name in ("amx", "bf16"))
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {amx} AMX, {bf16} fast bf16; ", end="")
    print(f"device {machine['device']}, {machine['threads']} threads")
    for case in document["cases"]:
        print(f"\n{case['case']}")
        for row in case["contestants"]:
            rate, ratio = row["rate"], case["ours_over"].get(row["name"])
            shown = f"  ours {ratio['median']:.2f}x ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else ""
            figure = f"{_short(rate['median']):>10} {row['unit']:<9} ({_short(rate['min'])} to {_short(rate['max'])})"
            print(f"  {row['name']:<42}{figure}{shown}  {row['note']}".rstrip())
        for fact, value in case["facts"].items():
            shown = f"{value['median']:.3f} ({value['min']:.3f} to {value['max']:.3f})" if isinstance(value, dict) else value
            print(f"  {fact}: {shown}")
    for name, reason in document["left_out"].items():
        print(f"\nleft out: {name}: {reason}", end="")
    if any(len(row["seconds"]) < LEAST for case in document["cases"] for row in case["contestants"]):
        print(f"\nFewer than {LEAST} repeats: not figures to quote.")


def _plot(name: str, cases: Sequence[Case], path: Path) -> None:
    """Bars of the median rates, with least and most as whiskers; what has another unit than ours (bare matmul) stays out."""
    shown = [[timing.plain() for timing in case.timings if timing.unit == _unit(case)] for case in cases]
    with drawn(name, 9.6, 0.9 + sum(0.75 + 0.33 * len(rows) for rows in shown)) as figure:
        panels = figure.subplots(len(cases), 1, squeeze=False, height_ratios=[2 + len(rows) for rows in shown])[:, 0]
        for axes, case, rows in zip(panels, cases, shown, strict=True):
            medians = [row["rate"]["median"] for row in rows]
            whiskers = [[m - r["rate"]["min"] for m, r in zip(medians, rows, strict=True)]]
            whiskers.append([r["rate"]["max"] - m for m, r in zip(medians, rows, strict=True)])
            colours = [AFTER if row["name"].startswith(OURS) else BEFORE for row in rows]
            bars = axes.barh(range(len(rows)), medians, 0.66, color=colours, xerr=whiskers, ecolor=INK)
            axes.bar_label(bars, labels=[_short(median) for median in medians], padding=8, fontsize=8.5, color=INK)
            axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=9, color=INK)
            axes.invert_yaxis()
            axes.set_xlim(0, max(row["rate"]["max"] for row in rows) * 1.2)
            axes.set_title(f"{case.title}: {rows[0]['unit']}")
            grid(axes, "x")
    figure.savefig(path, dpi=130)


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 1000 else f"{rate:.3g}"


def _unit(case: Case) -> str:
    return next(timing.unit for timing in case.timings if timing.name == case.ours)
