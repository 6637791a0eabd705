"""What takes the place of traced graphs where a test is about something else: tracing is slow."""

import shutil
from pathlib import Path

import pytest

from mcevae.exporting import graphs


def with_empty_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty files for graphs, and find no difference from torch."""

    def empty(_graph: graphs.Graph, _given: object, path: Path) -> None:
        path.touch()

    def none(graph: graphs.Graph, *_: object) -> dict[str, float]:
        return dict.fromkeys(graph.outputs, 0.0)

    monkeypatch.setattr(graphs, "write_graph", empty)
    monkeypatch.setattr(graphs, "differences", none)


def with_graphs_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the graphs of a finished export of the same run."""

    def copied(_graph: graphs.Graph, _given: object, path: Path) -> None:
        shutil.copy(folder / path.name, path)

    monkeypatch.setattr(graphs, "write_graph", copied)
