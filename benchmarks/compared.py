"""The tables of docs/comparison.md: what was measured, and what others published, apart."""

from dataclasses import dataclass
from typing import Any

from mcevae.reproduce.entries import title
from mcevae.reproduce.grid import RIVALS
from mcevae.reproduce.protocols import PROTOCOLS
from mcevae.reproduce.tables import COMPARED, markdown


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure of another paper. Nothing of it was measured here.

    Attributes:
        model: its entry in the comparison.
        protocol: the protocol of the comparison that is nearest to what it was measured on.
        accuracy: share of images in the cluster of their label, best one-to-one matching.
        nmi: normalised mutual information with the labels; None: not given.
        on: the images that it was measured on, in the source's words.
        labels: whether labels chose anything.
        source: where we read it.
    """

    model: str
    protocol: str
    accuracy: float
    nmi: float | None
    on: str
    labels: str
    source: str


CODE = "list of results on the paper's page at Papers with Code"
UNSAID = "not said there"
LITERATURE = (
    Published(
        model="dti",
        protocol="upright",
        accuracy=0.973,
        nmi=None,
        on="MNIST",
        labels=UNSAID,
        source=CODE,
    ),
    Published(
        model="dti",
        protocol="fashion-upright",
        accuracy=0.612,
        nmi=0.637,
        on="Fashion-MNIST",
        labels=UNSAID,
        source=CODE,
    ),
    Published(
        model="n2d",
        protocol="upright",
        accuracy=0.987,
        nmi=0.964,
        on="all 70,000 of MNIST, the images it is trained on",
        labels=UNSAID,
        source=CODE,
    ),
    Published(
        model="n2d",
        protocol="fashion-upright",
        accuracy=0.672,
        nmi=0.684,
        on="Fashion-MNIST, the images it is trained on",
        labels=UNSAID,
        source=CODE,
    ),
    Published(
        model="iic",
        protocol="upright",
        accuracy=0.993,
        nmi=None,
        on="MNIST, training and test images alike",
        labels="the sub-head and the epoch, in its code (`cluster_eval.py`), unless asked not to",
        source="quoted in Atienza, Advanced Deep Learning with TensorFlow 2 and Keras, chapter 13",
    ),
    Published(
        model="target-vae",
        protocol="mnist-u",
        accuracy=0.338,
        nmi=None,
        on="its own MNIST(U), test images; its ablation without discrete rotations",
        labels=UNSAID,
        source="its supplement, table 2, as the index aitopics.org quotes it",
    ),
)
"""Only what we could read; the figures of the whole TARGET-VAE were not at hand."""


def measured(result: dict[str, Any]) -> str:
    """A table for each budget and protocol, and the command of each cell.

    Args:
        result: results/comparison.json.
    """
    cells = result["cells"]
    text = ""
    for budget in dict.fromkeys(cell["budget"] for cell in cells):
        own = [cell for cell in cells if cell["budget"] == budget]
        text += f"{about(own)}\n\n{markdown(own, COMPARED)}\n"
    return text + missing(cells)


def about(cells: list[dict[str, Any]]) -> str:
    """Budget, seeds, images and machine of cells with one budget."""
    seeds = sorted({cell["seed"] for cell in cells})
    images = ", ".join(f"{count:,} {part}" for part, count in cells[0]["images"].items())
    machines = sorted({f"{c['machine']['cpu']}, {c['machine']['threads']} core" for c in cells})
    return (
        f"Budget `{cells[0]['budget']}`; seeds {', '.join(map(str, seeds))}; {images} images; "
        f"{'; '.join(machines)}. Mean over seeds, ± standard deviation where there are several."
    )


def missing(cells: list[dict[str, Any]]) -> str:
    """Which cells there are not."""
    lines = []
    for name, protocol in PROTOCOLS.items():
        known = {cell["model"] for cell in cells if cell["protocol"] == name}
        left = [title(model) for model in RIVALS if model not in known]
        if len(left) == len(RIVALS):
            lines.append(f"{protocol.title}: all models")
        elif left:
            lines.append(f"{protocol.title}: {', '.join(left)}")
    return f"\n**Not measured yet.** {'; '.join(lines)}.\n" if lines else ""


def commands(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the commands that make the cells."""
    rows = [
        [PROTOCOLS[cell["protocol"]].title, title(cell["model"]), f"`{cell['command']}`"]
        for cell in result["cells"]
    ]
    return ["protocol", "model", "command"], rows


def literature() -> tuple[list[str], list[list[str]]]:
    """Header and rows of what others published."""
    rows = [
        [
            title(one.model),
            PROTOCOLS[one.protocol].title,
            f"{one.accuracy:.3f}",
            "" if one.nmi is None else f"{one.nmi:.3f}",
            one.on,
            one.labels,
            one.source,
        ]
        for one in LITERATURE
    ]
    header = ["model", "nearest protocol", "published accuracy", "published NMI", "measured on"]
    return [*header, "did labels choose anything", "where we read it"], rows
