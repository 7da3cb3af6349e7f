"""Nothing in the project runs code that comes with a model."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("configs", "actors", "pipelines", "benchmarks", "notebooks", "infra")
SUFFIXES = {".py", ".yaml", ".yml", ".toml", ".ipynb", ".md", ".sh"}
FORBIDDEN = {
    "remote code is trusted": re.compile(r"""trust_remote_code["']?\s*[=:]\s*(?!False\b|false\b)"""),
    "transformers is left to decide": re.compile(r"from_pretrained\((?![^()]*trust_remote_code=False)[^()]*\)"),
    "a pickle may run code": re.compile(r"torch\.load\((?![^()]*weights_only=True)[^()]*\)|\bpickle\.loads?\(|allow_pickle=True"),
    "a model's own module is loaded": re.compile(r"get_class_from_dynamic_module|auto_map"),
}


def project_files() -> list[Path]:
    """Sources, configs and documents of the project, but for its tests."""
    below = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*")]
    return [file for file in (*ROOT.glob("*"), *below) if file.suffix in SUFFIXES or file.name in ("Makefile", "Dockerfile")]


@pytest.mark.parametrize("fault", FORBIDDEN)
def test_no_file_needs_remote_code(fault):
    files = project_files()
    assert len(files) > 100
    found = [f"{file.relative_to(ROOT)}: {hit.group()}" for file in files for hit in FORBIDDEN[fault].finditer(file.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("remote code is trusted", "AutoModel.from_pretrained(folder, trust_remote_code=True)"),
        ("remote code is trusted", "  trust_remote_code: true"),
        ("transformers is left to decide", "AutoTokenizer.from_pretrained(folder)"),
        ("a pickle may run code", "torch.load(path, map_location=device)"),
    ],
)
def test_the_search_finds_what_it_looks_for(fault, line):
    assert FORBIDDEN[fault].search(line)
