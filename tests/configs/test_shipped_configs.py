"""Every config that the repository ships loads, wherever it lies: in a file of its own, or inside a Kubernetes ConfigMap."""

import re
from pathlib import Path

import pytest
import yaml

from configs.load import load_config

ROOT = Path(__file__).parents[2]
TOP_KEY = re.compile(r"^(corpus|extends):", re.MULTILINE)
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def yaml_files() -> list[Path]:
    folders = (ROOT / "configs", ROOT / "infra", ROOT / "tests" / "data", ROOT / "notebooks", ROOT / "benchmarks")
    return sorted(file for folder in folders for ending in ("yaml", "yml") for file in folder.rglob(f"*.{ending}"))


def configs_inside(file: Path) -> list[tuple[str, str]]:
    """(name, text) of the Raytrieve configs in a YAML file: itself, or the entries of its ConfigMaps."""
    text = file.read_text("utf-8")
    if TOP_KEY.search(text):
        return [(file.name, text)]
    if "kind: ConfigMap" not in text:
        return []
    maps = (document for document in yaml.safe_load_all(text) if document and document.get("kind") == "ConfigMap")
    return [(name, entry) for each in maps for name, entry in each.get("data", {}).items() if TOP_KEY.search(entry)]


CASES = [
    pytest.param(file, name, text, id=f"{file.relative_to(ROOT)}:{name}") for file in yaml_files() for name, text in configs_inside(file)
]


@pytest.mark.parametrize(("file", "name", "text"), CASES)
def test_a_config_of_the_repository_loads(file, name, text, tmp_path):
    environment = {variable: "1" for variable in VARIABLE.findall(text)}
    if file.name != name:  # inside a ConfigMap: extends nothing beside it
        file = tmp_path / Path(name).name
        file.write_text(text)
    assert load_config(file, environ=environment).corpus.path


def test_the_shipped_configs_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in (ROOT / "configs").glob("*.yaml"):
        assert load_config(file.stem, environ={}).corpus.path
    assert len(CASES) >= 2
