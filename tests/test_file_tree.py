"""The README's tree has a line for every file, and says of each what the file says of itself."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_readme_has_a_line_for_every_file():
    written = runpy.run_path(str(ROOT / "infra" / "file_tree.py"))["written"]
    readme = (ROOT / "README.md").read_text()
    lines = set(readme.splitlines())
    fresh = written(readme)
    assert [line for line in fresh.splitlines() if line not in lines] == [], "write it anew: python infra/file_tree.py"
    assert fresh == readme, "the tree has lines of files that are gone: python infra/file_tree.py"
