"""The notebook runs from its first cell to its last, over a tiny corpus in place of SciFact."""

from pathlib import Path

import nbformat
import pytest
import ray
from nbclient import NotebookClient

from tests.jobs import ROOT, make_corpus, tiny_settings, write_config

NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"


def test_the_notebook_is_stored_without_outputs_and_with_one_cell_of_parameters():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    chosen: dict[str, object] = {}
    exec(parameters.source, chosen)
    assert (chosen["CONFIG"], chosen["OVERRIDES"]) == ("quickstart", [])


@pytest.mark.cluster
def test_the_notebook_runs_to_its_end_and_shows_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None):
    make_corpus(tmp_path, passages=60, queries=6)
    config = write_config(tmp_path / "tiny.yaml", tiny_settings(tmp_path, tmp_path / "store"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = f"CONFIG = {str(config)!r}\nOVERRIDES = ['search.top_k=10']"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert printed.splitlines()[3].startswith("1. ") and "giant panda" in printed.splitlines()[3]
    (table,) = [html for html in (output.get("data", {}).get("text/html", "") for output in outputs) if "<b>Query q" in html]
    assert table.count("<tr>") == 6 and "<td>p000" in table
