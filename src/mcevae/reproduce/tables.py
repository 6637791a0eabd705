"""Tables that the paper does not have: models by protocol, mean and spread of seeds."""

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from mcevae.reproduce.cells import LEVEL
from mcevae.reproduce.entries import MODELS, title
from mcevae.reproduce.protocols import PROTOCOLS

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
COMPARED = {
    "accuracy": "accuracy, own clusters",
    "nmi": "NMI, own",
    "kmeans_accuracy": "accuracy, k-means on code",
    "ward_accuracy": "accuracy, Ward on code",
    "ward_held_accuracy": "accuracy, Ward, clusters of validation images",
    "train_accuracy": "accuracy, own, on training images",
    "rotation_error_median": "rotation error, deg, median",
    "rotation_correlation": "rotation, correlation",
    "shift_error_mean": "shift error, px, mean",
    "shift_x_correlation": "shift in x, correlation",
    "shift_y_correlation": "shift in y, correlation",
    "same_cluster": "same cluster, other pose",
    "bce": "BCE, nats",
    "minutes": "minutes",
    "epochs": "epochs",
    "parameters": "parameters",
}
"""What the comparison on all protocols shows of a cell."""
OWN = ("accuracy", "nmi", "ari", "same_cluster", "same_cluster_chance", "train_accuracy")
"""Scores of a model's own clusters. A model with a single cluster does not have them."""
POSES = (
    *("rotation_error_median", "rotation_correlation"),
    *("shift_error_mean", "shift_x_correlation", "shift_y_correlation"),
)
"""Scores of poses. Models that infer no poses do not have them."""


def value(result: dict[str, Any], key: str) -> float | None:
    """One figure of a cell; None if it has no meaning for the model."""
    if key in OWN and result["scores"].get("clusters", {}).get("value") == 1:
        return None
    if key in POSES and result["model"] in MODELS and not MODELS[result["model"]].poses:
        return None
    if key in result["scores"]:
        return result["scores"][key]["value"]
    if key == "minutes":
        return result["seconds"] / 60 if "seconds" in result else None
    return result.get(key)


def rows(
    results: Sequence[dict[str, Any]], columns: Mapping[str, str] = COLUMNS
) -> list[dict[str, Any]]:
    """One row for each model and protocol: title, seeds, and mean and spread of each figure.

    A figure is left out if a seed lacks it, for example because it did not reach the level.

    Args:
        results: the cells.
        columns: figures, and what a table calls them.
    """
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        grouped.setdefault((result["protocol"], result["model"]), []).append(result)
    table = []
    for (protocol, model), cells in grouped.items():
        row = {"model": model, "title": title(model), "protocol": protocol, "seeds": len(cells)}
        for key in columns:
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


def markdown(results: Sequence[dict[str, Any]], columns: Mapping[str, str] = COLUMNS) -> str:
    """The table as Markdown, one part for each protocol; columns that are empty are left out."""
    text = ""
    table = rows(results, columns)
    for protocol in dict.fromkeys(row["protocol"] for row in table):
        own = [row for row in table if row["protocol"] == protocol]
        keys = [key for key in columns if any(row[key] is not None for row in own)]
        text += f"### {PROTOCOLS[protocol].title}\n\n"
        lines = [["model", "seeds", *(columns[key] for key in keys), "not as published"]]
        lines.append(["---"] * len(lines[0]))
        lines += [
            [row["title"], str(row["seeds"]), *(shown(row, key) for key in keys), row["notes"]]
            for row in own
        ]
        text += "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n"
    return text.rstrip() + "\n"


def comma_separated(results: Sequence[dict[str, Any]], columns: Mapping[str, str] = COLUMNS) -> str:
    """The table as CSV, with all digits, and with spreads in their own columns."""
    table = rows(results, columns)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
