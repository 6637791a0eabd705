"""Rewrite the tables of docs/performance.md from results/*.json.

python benchmarks/performance.py
"""

from pathlib import Path
from typing import Any

from tables import fill, read, source, table

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def throughput(found: dict[str, Any]) -> str:
    """Images a second of each way, on one thread and on two."""
    sides = found["by_threads"].values()
    rows = [
        [name, *(cell for side in sides for cell in pace(side[name]))]
        for name in found["by_threads"]["1"]
    ]
    header = ["on one core: images a second", "times the published"]
    return table(["step", *header, "on two cores: images a second", "times the published"], rows)


def pace(way: dict[str, Any]) -> tuple[str, str]:
    """Images a second, and the ratio with its spread over the turns."""
    ratio = f"{way['times_published']:.1f} ({way['least_times']:.1f} to {way['most_times']:.1f})"
    return f"{way['images_per_second']:,.0f}", ratio


def time_to_quality(found: dict[str, Any]) -> str:
    """Scores over the minutes of each side."""
    rows = [
        [
            name,
            f"{row['minutes']:.1f}",
            f"{row['accuracy']:.3f}",
            f"{row['kmeans_accuracy']:.3f}",
            f"{row['bce']:.1f}",
            f"{row['rotation_error_median']:.1f}",
        ]
        for name, side in found["sides"].items()
        for row in side["rows"]
    ]
    header = ["", "minutes", "accuracy", "accuracy, k-means", "BCE, nats", "rotation error, deg"]
    return table(header, rows)


def costs(found: dict[str, Any]) -> str:
    """What the machine reaches, and what steps and inference take of it."""
    reached = ", ".join(
        f"{name.replace('_', ' ')} {value:,.0f}" for name, value in found["reached"].items()
    )
    rows = [
        [
            name,
            f"{row['operations_per_image'] / 1e6:.1f}",
            f"{row['images_per_second']:,.0f}",
            f"{row['billion_operations_per_second']:.0f}",
            f"{row['share_of_matrix_products']:.2f}",
            ", ".join(
                f"{one['operation'].removeprefix('aten::')} {one['share']:.0%}"
                for one in row["largest"][:3]
            ),
        ]
        for name, row in found["rows"].items()
    ]
    header = ["", "10^6 operations for each image", "images a second", "10^9 operations a second"]
    made = table([*header, "share", "largest three"], rows)
    return f"The machine reaches, in 10^9 operations a second: {reached}.\n\n{made}"


def inference(found: dict[str, Any]) -> str:
    """Images a second, and memory."""
    about = {
        "model": "in memory, cluster, pose and canonical image",
        "npy": "a .npy, table written",
        "pack": "a pack, table written",
        "png": "PNG files, table written",
        "npy-large": "a .npy, table written",
    }
    rows = [
        [
            about[name],
            f"{row['images']:,}",
            f"{row['images_per_second']:,.0f}",
            f"{row['peak_gib']:.2f}",
        ]
        for name, row in found["rows"].items()
    ]
    return table(["images from", "images", "images a second", "largest memory, GiB"], rows)


def startup(found: dict[str, Any]) -> str:
    """Seconds of import and help."""
    rows = [
        [f"`{name}`", f"{row['seconds']:.2f}", f"{row['processor_seconds']:.2f}"]
        for name, row in found["rows"].items()
    ]
    return table(["", "seconds", "seconds of processor time"], rows)


def waiting(found: dict[str, Any]) -> str:
    """Seconds of a step for each way to wait."""
    ways = list(found["rows"][0]["seconds_a_step"])
    rows = [
        [str(row["beside"]), *(f"{row['seconds_a_step'][way]:.2f}" for way in ways)]
        for row in found["rows"]
    ]
    return table(["other programs", *(f"{way}: seconds a step" for way in ways)], rows)


def kohonen(found: dict[str, Any]) -> str:
    """The rate of the map, here and as published, where it is not clear what else ran."""
    share = found["processor_seconds"] / found["seconds"]
    here = f"here, with {share:.2f} of a core"
    rows = [
        [here, f"{found['images']:,}", f"{found['seconds']:.0f}", f"{found['images_a_second']}"]
    ]
    published = found["published"]
    rows += [
        [f"published: {where}", f"{published['images']:,}", f"{seconds:,}", f"{rate:.1f}"]
        for where, seconds in published["seconds"].items()
        for rate in [published["images"] / seconds]
    ]
    made = table(["", "images", "seconds", "images a second"], rows)
    alone = found["images_a_processor_second"]
    return f"{made}\nFor each second of processor time here: {alone} images.\n"


def growth(found: dict[str, Any]) -> str:
    """Exponents."""
    rows = [
        [name, f"{curve['at'][0]:,} to {curve['at'][-1]:,}", line, f"{value:.2f}"]
        for name, curve in found["curves"].items()
        for line, value in curve["exponents"].items()
    ]
    return table(["what grows", "from", "cost", "exponent"], rows)


def large(found: dict[str, Any]) -> str:
    """Time and memory of each command."""
    rows = [
        [
            name,
            f"{row['seconds']:,.0f}",
            ", ".join(f"{value:g}" for value in row["memory_gb"]),
            f"{row['most_memory_gb']:.2f}",
        ]
        for name, row in found["rows"].items()
    ]
    text = (
        f"{found['images']:,} images, {found['gigabytes']:g} GB. Training used "
        f"{found['windows_learned_from']} windows of {found['window']:,} in {found['epochs']} "
        f"epochs, and the loss fell from {max(found['loss']):.0f} to {found['loss'][-1]:.0f}. "
        f"{found['images_predicted']:,} images were predicted.\n\n"
    )
    header = ["command", "seconds", "memory at ten moments, GB", "largest memory, GB"]
    return text + table(header, rows)


def main() -> None:
    """Fill in what there is."""
    sections = (throughput, time_to_quality, costs, inference, startup, waiting, growth, large)
    for section in (*sections, kohonen):
        name = section.__name__
        found = read(name)
        fill(PAGE, name, f"{section(found)}\n{source(found, name)}\n")


if __name__ == "__main__":
    main()
