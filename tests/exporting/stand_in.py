"""What takes the place of traced graphs where a test is about something else: tracing is slow."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from mcevae.exporting import graphs


def with_empty_graphs(monkeypatch: pytest.MonkeyPatch, *, but: Collection[str] = ()) -> None:
    """Write empty files for graphs but these, and find no difference of theirs from torch."""
    traced, compared = graphs.write_graph, graphs.differences

    def write(graph: graphs.Graph, given: Any, path: Path) -> None:
        traced(graph, given, path) if path.stem in but else path.touch()

    def differences(graph: graphs.Graph, given: Any, path: Path) -> dict[str, float]:
        none = dict.fromkeys(graph.outputs, 0.0)
        return compared(graph, given, path) if path.stem in but else none

    monkeypatch.setattr(graphs, "write_graph", write)
    monkeypatch.setattr(graphs, "differences", differences)


def with_graphs_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the graphs of a finished export of the same run."""

    def copied(_graph: graphs.Graph, _given: object, path: Path) -> None:
        shutil.copy(folder / path.name, path)

    monkeypatch.setattr(graphs, "write_graph", copied)
