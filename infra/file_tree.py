"""The files of the project in, the README's tree of them out, a line a file: `python infra/file_tree.py` writes it anew.

A file says itself what it is: a module by its docstring, a YAML file or another by the comment it begins with.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("configs", "actors", "pipelines", "tests", "benchmarks", "infra", "notebooks")
# Of these a line for the folder is enough: what they hold is data, made, or a test of the file that it is named after.
CLOSED = {
    "tests": "mirrors the tree: `tests/actors/test_reader.py` tests `actors/reader.py`",
    "benchmarks/results": "what was measured last, as JSON and plots",
}
TOLD = {
    "infra/SECURITY.md": "What is promised about security, and how it is tested.",
    "notebooks/quickstart.ipynb": "The quickstart from a notebook: the same functions, and the plots.",
    "pipelines/reporting/page.html.jinja": "The template of report.html.",
    "pipelines/reporting/summary.html.jinja": "The template of what a notebook shows of a report.",
}
TESTS = {
    "tests/faults": "Whole jobs that are killed, starved and damaged; `make chaos` runs all of them.",
    "tests/security": "The promises of infra/SECURITY.md.",
    "tests/data": "SciFact, a part of XQuAD, tiny checkpoints with reference outputs, and their licences.",
}
_MARKS = "<!-- files -->\n", "<!-- /files -->\n"
_WIDTH = 30


def tree() -> str:
    """The lines, as they stand in the README."""
    lines = [line for folder in FOLDERS for line in _folder(ROOT / folder, 0)]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _folder(folder: Path, depth: int) -> Iterator[str]:
    name = folder.relative_to(ROOT).as_posix()
    yield _line(f"{folder.name}/", CLOSED.get(name) or _first_words(folder / "__init__.py"), depth)
    if name == "tests":
        yield from (_line(f"{Path(path).name}/", text, depth + 1) for path, text in TESTS.items())
        yield from (_line(path.name, _told(path), depth + 1) for path in sorted(folder.glob("*.py")) if not path.name.startswith("test_"))
    if name in CLOSED:
        return
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.is_dir() and not path.name.startswith(("__", ".")):
            yield from _folder(path, depth + 1)
        elif path.is_file() and path.name != "__init__.py" and not path.name.startswith("."):
            yield _line(path.name, _told(path), depth + 1)


def _line(name: str, text: str, depth: int) -> str:
    return f"{'  ' * depth + name:<{_WIDTH}} {text}".rstrip()


def _told(path: Path) -> str:
    return TOLD.get(path.relative_to(ROOT).as_posix()) or _first_words(path)


def _first_words(path: Path) -> str:
    """The first sentence of a module's docstring, or of the comment that a file begins with."""
    if not path.is_file():
        return ""
    text = path.read_text()
    if path.suffix == ".py":
        whole = ast.get_docstring(ast.parse(text)) or ""
    else:
        whole = "\n".join(re.findall(r"^# ?(.*)", text.partition("\n\n")[0], re.MULTILINE))
    return re.split(r"(?<=[.!])\s|:?\n\n|:\n", whole, maxsplit=1)[0].replace("\n", " ")


def written(readme: str) -> str:
    """The README's text with the tree as it is now."""
    before, _, rest = readme.partition(_MARKS[0])
    return before + _MARKS[0] + tree() + _MARKS[1] + rest.partition(_MARKS[1])[2]


if __name__ == "__main__":
    (ROOT / "README.md").write_text(written((ROOT / "README.md").read_text()))
