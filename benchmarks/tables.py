"""Rewrite docs/results.md from the JSON files under results/.

python benchmarks/tables.py
"""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from common import RESULTS

from mcevae.files import write_text

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
SCORES = {
    "bce": "reconstruction, BCE",
    "mse": "reconstruction, MSE",
    "accuracy": "accuracy, by responsibility",
    "nmi": "NMI, by responsibility",
    "ari": "ARI, by responsibility",
    "kmeans_accuracy": "accuracy, k-means on z_c",
    "kmeans_nmi": "NMI, k-means on z_c",
    "effective_clusters": "effective number of clusters",
    "rotation_error_median": "rotation error, aligned, median",
    "raw_rotation_error_median": "rotation error, raw, median",
    "shift_error_mean": "shift error, aligned, mean",
    "rotation_correlation": "rotation, circular correlation",
    "same_cluster": "same cluster after another pose",
    "canonical_change": "canonical image's change",
}


def read(name: str) -> dict[str, Any]:
    """A results file."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def source(result: dict[str, Any], name: str) -> str:
    """Command, machine and file of a result."""
    machine = result["machine"]
    seeds = f"Seeds: {', '.join(map(str, result['seeds']))}. " if "seeds" in result else ""
    return (
        f"{seeds}{machine['cpu']}, {machine['threads']} of {machine['cores']} cores used, "
        f"torch {machine['torch']}.\n`{result['command']}` → `benchmarks/results/{name}.json`\n"
    )


def paper_model() -> str:
    """The paper preset, unsupervised and supervised, side by side."""
    runs = {mode: read(f"paper_{mode}") for mode in ("unsupervised", "supervised")}
    rows = [
        [title, *(f"{run['scores'][name]['value']:.4g}" for run in runs.values()), unit]
        for name, title in SCORES.items()
        if (unit := runs["unsupervised"]["scores"][name]["unit"]) is not None
    ]
    for key, title, unit in (("minutes", "training", "minutes"), ("best_epoch", "epoch", "")):
        rows.append([title, *(f"{run[key]:g}" for run in runs.values()), unit])
    text = f"{runs['unsupervised']['data']}. One seed, so no spread is given.\n\n"
    text += table(["test images", *runs, "unit"], rows) + "\n"
    return text + "\n".join(source(run, f"paper_{mode}") for mode, run in runs.items())


def draws() -> str:
    """What 25 draws cost."""
    result = read("draws")
    rows = [[name, f"{1000 * value:.0f} ms"] for name, value in result["seconds"].items()]
    rows += [[name, f"{value:.2f}"] for name, value in result["ratios"].items()]
    return f"{result['what']}.\n\n" + table(["way", "value"], rows) + "\n" + source(result, "draws")


QUALITY = {
    "accuracy": ("accuracy", ""),
    "nmi": ("NMI", ""),
    "ari": ("ARI", ""),
    "bce": ("BCE", "nats/image"),
    "rotation_error_median_not_0_1_8": ("rotation error, not 0, 1, 8", "deg, median"),
    "shift_error_mean": ("shift error", "px, mean"),
    "same_cluster": ("same cluster", "share"),
    "minutes": ("training", "minutes"),
}


def quality() -> str:
    """The default preset: a line per row, mean and spread over seeds."""
    rows = read("quality")["rows"]
    header = ["data", "seeds", *(f"{title} {unit}".strip() for title, unit in QUALITY.values())]
    lines = []
    for name, cells in rows.items():
        line = [name, str(len(cells))]
        for key in QUALITY:
            values = [
                cell[key] if key == "minutes" else cell["scores"].get(key, {}).get("value")
                for cell in cells
            ]
            known = [value for value in values if value is not None]
            text = f"{mean(known):.4g}" if known else ""
            if len(known) > 1:
                text += f" ± {stdev(known):.2g}"
            line.append(text)
        lines.append(line)
    made = sorted({cell["machine"]["cpu"] for cells in rows.values() for cell in cells})
    return (
        "Posed MNIST, 55,000 training, 5,000 validation, 10,000 test images, scored once on test; "
        "K = 10. se2: within 90 degrees and 25 % of the side. Mean over seeds, ± standard "
        f"deviation where there are several. {', '.join(made)}, 1 core.\n\n"
        + table(header, lines)
        + "\n`python benchmarks/quality.py` → `benchmarks/results/quality.json`\n"
    )


def main() -> None:
    """Write the page."""
    sections = {
        "The default preset": quality(),
        "The paper's model on SE(2)-MNIST": paper_model(),
        "A step with 25 draws": draws(),
    }
    text = "# Results\n\nMade by `python benchmarks/tables.py` from `benchmarks/results/`.\n"
    text += "".join(f"\n## {title}\n\n{body}" for title, body in sections.items())
    write_text(PAGE, text)
    print(PAGE)


if __name__ == "__main__":
    main()
