"""Rewrite docs/results.md with its picture, and tables of other pages, from results/*.json.

python benchmarks/tables.py
"""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from common import RESULTS
from compared import commands, literature, measured
from matplotlib.figure import Figure
from quality_rows import BUILT_IN, MADE, ROWS, Row

from mcevae.base.files import write_text
from mcevae.reproduce.plots import taught
from mcevae.reproduce.tables import markdown as models_table

DOCS = Path(__file__).parent.parent / "docs"
PAGE, AIMS, REPRODUCTION, PAPER, COMPARISON = (
    DOCS / f"{name}.md"
    for name in ("results", "lessons", "reproduction", "paper-model", "comparison")
)
CURVES_PICTURE = "images/quality-curves.png"
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
    "same_cluster": "same cluster in another pose",
    "canonical_change": "change of the canonical image in another pose",
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


def whole_cells() -> dict[str, list[dict[str, Any]]]:
    """Cells at the paper's own budget, by group and model; each has one cell a seed."""
    known: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((RESULTS / "full").glob("*.json")):
        cell = json.loads(path.read_text("utf-8"))["cell"]
        known.setdefault(f"{cell['protocol'].upper()}, {cell['model']}", []).append(cell)
    return known


def paper_model() -> str:
    """The paper's model at the paper's own budget, a column for each model and group."""
    known = whole_cells()
    cells = [cell for column in known.values() for cell in column]
    scored = [cell["scores"] for cell in cells]  # some models lack some of them
    units = {name: one[name]["unit"] for one in scored for name in SCORES if name in one}
    rows = [["seeds", *(str(len(column)) for column in known.values()), ""]]
    rows += [
        [title, *(spread(column, name) for column in known.values()), units[name]]
        for name, title in SCORES.items()
    ]
    images = ", ".join(f"{count:,} {part}" for part, count in cells[0]["images"].items())
    cpus = ", ".join(sorted({cell["machine"]["cpu"] for cell in cells}))
    return (
        f"MNIST, 60 epochs, one draw; {images} images; scored once on the test images. Mean over "
        f"seeds, ± standard deviation. {cpus}, one core. [The verdict](reproduction.md).\n\n"
        + table(["test images", *known, "unit"], rows)
        + "\n`python benchmarks/full_budget.py --models MODEL --protocols PROTOCOL --seeds SEED` → "
        "`benchmarks/results/full/`\n"
    )


POSES = {
    "rotation_error_median": "rotation error, deg, median",
    "rotation_axis": "axis",
    "shift_error_median": "shift error, px, median",
    "bce": "BCE, nats",
}


def poses() -> str:
    """What both networks of the paper's model reach in a few steps: a line for each seed."""
    result = read("paper_poses")
    keys = ("networks", "steps", "seed", *POSES)
    rows = [[str(row[key]) for key in keys] for row in result["rows"]]
    text = f"SE(2)-MNIST, one draw, batches of 100, {result['images']:,} validation images.\n\n"
    return (
        text
        + table([*keys[:3], *POSES.values()], rows)
        + f"\n`{result['command']}` → `benchmarks/results/paper_poses.json`\n"
    )


def draws() -> str:
    """Time of a step with 25 draws."""
    result = read("draws")
    rows = [[name, f"{1000 * value:.0f} ms"] for name, value in result["seconds"].items()]
    rows += [[name, f"{value:.2f}"] for name, value in result["ratios"].items()]
    return f"{result['what']}.\n\n" + table(["way", "value"], rows) + "\n" + source(result, "draws")


QUALITY = {
    "clusters": ("K", ""),
    "accuracy": ("accuracy", ""),
    "balanced_accuracy": ("balanced accuracy, clusters named by their majority", ""),
    "graph_accuracy": ("accuracy of the graph alone", ""),
    "graph_balanced_accuracy": ("balanced accuracy of the graph alone", ""),
    "nmi": ("NMI", ""),
    "ari": ("ARI", ""),
    "bce": ("BCE", "nats"),
    "rotation_error_median_not_0_1_8": ("rotation error without digits 0, 1, 8", "deg, median"),
    "upside_down_not_0_1_8": ("rotation error beyond 90 degrees without 0, 1, 8", "share"),
    "shift_error_mean": ("shift error", "px, mean"),
    "log_scale_error_mean": ("scale error", "log, mean"),
    "same_cluster": ("same cluster in another pose", "share"),
    "rotation_coverage_90": ("true rotation in the 90 % set", "share"),
    "minutes": ("training", "minutes"),
}
CURVED = ("se2", "so2", "upright")
"""Rows whose learning curves are drawn."""


def spread(cells: list[dict[str, Any]], key: str) -> str:
    """Mean of a figure over seeds, ± standard deviation where there are several."""
    found = [
        cell[key] if key == "minutes" else cell["scores"].get(key, {}).get("value")
        for cell in cells
    ]
    known = [value for value in found if value is not None]
    if not known:
        return ""
    spread = stdev(known) if len(known) > 1 else 0
    return f"{mean(known):.4g}" + (f" ± {spread:.2g}" if spread else "")


def grid(rows: dict[str, Any], titles: dict[str, str], first: str) -> str:
    """A line per row that there is, a column per figure that any has."""
    columns = {
        key: f"{title} {unit}".strip()
        for key, (title, unit) in QUALITY.items()
        if any(spread(cells, key) for cells in rows.values())
    }
    lines = [
        [title, str(len(rows[name])), *(spread(rows[name], key) for key in columns)]
        for name, title in titles.items()
        if name in rows
    ]
    return table([first, "seeds", *columns.values()], lines)


def made_by(rows: dict[str, Any]) -> str:
    """Machines and threads of the cells."""
    machines = [cell["machine"] for cells in rows.values() for cell in cells]
    cpus = sorted({f"{m['cpu']}, {m['threads']} of {m['cores']} cores used" for m in machines})
    return "; ".join(cpus)


def quality() -> str:
    """The default preset: a line per row."""
    result = read("quality")
    rows = result["rows"]
    worst = min(
        cell["scores"]["accuracy"]["value"]
        - mean(other["scores"]["accuracy"]["value"] for other in cells)
        for cells in rows.values()
        for cell in cells
    )
    quality_curves(rows)
    return (
        "55,000 training images (unless the row says otherwise), 5,000 validation and 10,000 test "
        "images; scored once on the test images. K = 10, except where it was chosen. Poses within "
        "90 degrees and 25 % of the side, unless the row says otherwise. Mean over seeds, ± "
        f"standard deviation. {made_by(rows)}.\n\n"
        + grid(rows, titles(BUILT_IN), "data")
        + made_sets(rows)
        + f"\nThe worst seed of any row is {abs(worst):.3f} below the row's mean accuracy. "
        "[Aims and lessons](lessons.md) compares these figures with what we aimed at.\n"
        + "\nLearning curves on the validation images, from the first clusters on, one line for "
        "each seed:\n\n"
        + f"![Reconstruction and invariance term by minute of training]({CURVES_PICTURE})\n"
        + f"\n`{result['command']}` → `benchmarks/results/quality.json`\n"
    )


def titles(rows: dict[str, Row]) -> dict[str, str]:
    """What tables call rows."""
    return {name: row.title for name, row in rows.items()}


def made_sets(rows: dict[str, Any]) -> str:
    """Rows of the sets of `sets.py`, if there are any."""
    if not MADE.keys() & rows.keys():
        return ""
    return (
        "\nSets that `python benchmarks/sets.py --out runs/sets` makes; a seventh of the images is "
        "for test, or MNIST's and Fashion-MNIST's own test images.\n\n"
        + grid(rows, titles(MADE), "data")
    )


def mean_of(cells: list[dict[str, Any]], key: str) -> float | None:
    """Mean of a figure over seeds; None if no cell has it."""
    found = [cell["scores"][key]["value"] for cell in cells if key in cell["scores"]]
    return mean(found) if found else None


def aims() -> str:
    """What the default preset must reach, what it aims at, and what it reaches."""
    rows = read("quality")["rows"]
    lines = []
    for name, row in ROWS.items():
        for key, (must, aim) in row.targets.items():
            value = mean_of(rows.get(name, []), key)
            if value is None:
                continue
            sign = 1 if must < aim else -1
            at_least = [sign * value >= sign * limit for limit in (must, aim)]
            reached = "the aim" if at_least[1] else "the must" if at_least[0] else "neither"
            title, unit = QUALITY[key]
            figures = [f"{value:.4g}", f"{must:g}", f"{aim:g}", reached]
            lines.append([row.title, f"{title} {unit}".strip(), *figures])
    return "\n" + table(["data", "figure", "mean", "must", "aim", "reached"], lines) + "\n"


CURVES = {
    "reconstruction": "reconstruction, nats per image",
    "invariance": "invariance term, nats per image",
}


def quality_curves(rows: dict[str, Any]) -> None:
    """Draw the learning curves of the rows with targets, from the end of the warm-up on."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    shown = [row for row in CURVED if row in rows]
    for axes, (key, label) in zip(figure.subplots(1, 2), CURVES.items(), strict=True):
        for i, row in enumerate(shown):
            for j, one in enumerate(rows[row]):
                curve = [r for r in taught(one["curves"]) if r["split"] == "validation"]
                axes.plot(
                    [r["seconds"] / 60 for r in curve],
                    [r[key] for r in curve],
                    color=f"C{i}",
                    marker=".",
                    label=ROWS[row].title if j == 0 else None,
                )
        axes.set_xlabel("minutes of training")
        axes.set_ylabel(label)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.savefig(DOCS / CURVES_PICTURE, dpi=110)


PIECES = {
    "none": "nothing",
    "templates": "templates: first poses are upright, at the centroid",
    "support": "bounded support: all rotations are allowed",
    "graph": "neighbour graph: first clusters are k-means on canonical pixels",
    "tangent": "tangent distance: the graph uses the plain distance",
    "frames": "learned frames: frames stay as the templates gave them",
    "draws": "draws: new targets are the likeliest ones",
    "redraws": "redraws: the first targets stay",
    "firm": "firm clusters: redraws change poses and clusters",
    "deformations": "deformations of the images it is taught with",
    "canonical": "moving the image back before z is read",
}


def ablation() -> str:
    """Scores of the default preset with one piece turned off."""
    result = read("ablation")
    return (
        "SE(2)-MNIST, 10,000 training images, 20 epochs, scored on 5,000 validation images. "
        f"{made_by(result['rows'])}.\n\n"
        + grid(result["rows"], PIECES, "turned off")
        + f"\n`{result['command']}` → `benchmarks/results/ablation.json`\n"
    )


def reproduction() -> str:
    """Every model of the paper's experiments."""
    result = read("reproduction")
    first = result["cells"][0]
    images = ", ".join(f"{count:,} {part}" for part, count in first["images"].items())
    cpus = {f"{c['machine']['cpu']}, {c['machine']['threads']} core" for c in result["cells"]}
    about = (
        f"At most {result['minutes']:g} minutes of training; seeds "
        f"{', '.join(map(str, result['seeds']))}; {images} images; "
        f"{'; '.join(sorted(cpus))}. `{result['command']}` → "
        "`benchmarks/results/reproduction.json`"
    )
    return f"{about}\n\n{models_table(result['cells'])}"


def fill(page: Path, name: str, text: str) -> None:
    """Replace what a page has between the marks of a name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = page.read_text("utf-8").split(begin)
    write_text(page, before + begin + text + end + rest.split(end)[1])
    print(page)


def main() -> None:
    """Write the page, with a section for each file that there is."""
    sections = {
        "The default preset": ("quality", quality),
        "The default preset with one piece turned off": ("ablation", ablation),
        "The paper's model at the paper's own budget": ("full/se2-mce-vae-0", paper_model),
        "A training step with 25 draws": ("draws", draws),
    }
    text = (
        "# Results\n\n"
        "This page is made by `python benchmarks/tables.py` from `benchmarks/results/`. "
        "[Reading the report](report.md#scores) explains the scores.\n"
    )
    for title, (name, section) in sections.items():
        if (RESULTS / f"{name}.json").exists():
            text += f"\n## {title}\n\n{section()}"
    write_text(PAGE, text)
    print(PAGE)
    fill(AIMS, "aims", aims())
    fill(REPRODUCTION, "table", reproduction())
    fill(PAPER, "poses", poses())
    compared = read("comparison")
    fill(COMPARISON, "measured", measured(compared))
    fill(COMPARISON, "published", table(*literature()))
    fill(COMPARISON, "commands", table(*commands(compared)))


if __name__ == "__main__":
    main()
