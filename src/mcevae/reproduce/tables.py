"""A table that the paper does not have: every model with every group, mean and spread of seeds."""

import csv
import io
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from mcevae.reproduce.cells import LEVEL
from mcevae.reproduce.grid import MODELS, title

COLUMNS = {
    "bce": "BCE, nats",
    "accuracy": "accuracy, own clusters",
    "nmi": "NMI, own",
    "ari": "ARI, own",
    "kmeans_accuracy": "accuracy, k-means on code",
    "kmeans_nmi": "NMI, k-means",
    "kmeans_ari": "ARI, k-means",
    "rotation_error_median": "rotation error, deg, median",
    "shift_error_mean": "shift error, px, mean",
    "canonical_change": "canonical change, of spread",
    "same_cluster": "same cluster, other pose",
    "same_cluster_chance": "same cluster, by chance",
    "seconds_per_epoch": "seconds for an epoch",
    "epochs": "epochs",
    "seconds_to_level": f"seconds to validation BCE {LEVEL:g}, with draws",
    "parameters": "parameters",
}
"""What the table shows of a cell: scores, and facts about its training."""
OWN = ("accuracy", "nmi", "ari")
"""Scores of a model's own clusters. A model with a single cluster does not have them."""
POSES = ("rotation_error_median", "shift_error_mean")
"""Scores of poses. Models that infer no poses do not have them."""


def value(result: dict[str, Any], key: str) -> float | None:
    """One figure of a cell; None if it has no meaning for the model."""
    if key in OWN and result["scores"].get("clusters", {}).get("value") == 1:
        return None
    if key in POSES and result["model"] in MODELS and not MODELS[result["model"]].poses:
        return None
    if key in result["scores"]:
        return result["scores"][key]["value"]
    return result.get(key)


def rows(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each model and group: title, group, seeds, and mean and spread of each figure.

    A figure is left out if a seed lacks it, for example because it did not reach the level.
    """
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        grouped.setdefault((result["group"], result["model"]), []).append(result)
    table = []
    for (group, model), cells in grouped.items():
        row = {"model": model, "title": title(model), "group": group, "seeds": len(cells)}
        for key in COLUMNS:
            found = [value(cell, key) for cell in cells]
            known = [one for one in found if one is not None]
            whole = len(known) == len(cells)
            row[key] = mean(known) if whole else None
            row[f"{key}_sd"] = stdev(known) if whole and len(known) > 1 else None
        notes = [MODELS[model].otherwise] if model in MODELS else []
        notes += [f"seed {cell['seed']} diverged" for cell in cells if "failed" in cell]
        row["notes"] = "; ".join(notes)
        table.append(row)
    return table


def shown(row: dict[str, Any], key: str) -> str:
    """A figure as text, with its spread if there is one."""
    if row[key] is None:
        return ""
    if key == "parameters":
        return f"{row[key]:,.0f}"
    spread = row[f"{key}_sd"]
    return f"{row[key]:.3g}" + (f" ± {spread:.1g}" if spread is not None else "")


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown, one part for each group."""
    text = ""
    table = rows(results)
    for group in dict.fromkeys(row["group"] for row in table):
        text += f"### {group}\n\n"
        lines = [["model", "seeds", *COLUMNS.values(), "not as published"]]
        lines.append(["---"] * len(lines[0]))
        lines += [
            [row["title"], str(row["seeds"]), *(shown(row, key) for key in COLUMNS), row["notes"]]
            for row in table
            if row["group"] == group
        ]
        text += "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n"
    return text.rstrip() + "\n"


def comma_separated(results: Sequence[dict[str, Any]]) -> str:
    """The table as CSV, with all digits, and with spreads in their own columns."""
    table = rows(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
