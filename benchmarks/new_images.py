"""What happens when a run gets new images, and what learned weights are worth.

New kinds: a run knows 1,000 images of nine kinds of digits or clothes, moved within 90 degrees, in
nine clusters of the invariant graph. Then 300 more of these come, with 60 of the tenth kind. Each
kind is the tenth once. Counted is how much of it is in new groups, and how much of the others is.
Last, new images show nothing new, fewer of them than the run has, and more.

Learned weights: a run of 1,500 digits, trained for 12 epochs. 900 of them are trained on again, of
all kinds or of five, from its weights and anew. Images are the same, and so are seeds.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean

import torch
from common import RESULTS, write_results

from mcevae.images.splits import Posed, Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.own_group import group_of
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.run import TrainedRun
from mcevae.teaching.cluster import start_clusters
from mcevae.teaching.graph import describe_pixels, invariant_graph, reach_of
from mcevae.teaching.novel import NONE, new_kinds
from mcevae.training.given import Given
from mcevae.training.loop import fit

SETS = ("mnist", "fashion-mnist")
KNOWN, MORE, FRESH = 1000, 300, 60
"""Images of the run, new images of known kinds, and of the tenth kind."""
LEARNED, AGAIN, BEFORE = 1500, 900, 12
"""Images of the run and of the next one; epochs of the run."""


def of_kinds(name: str) -> list[dict[str, object]]:
    """Rows of new kinds: one for each kind of a set that the run does not know."""
    config = PRESETS["quick"]().changed(data={"source": name, "limit": 3000})
    images, group = prepare_for(config).train.images, group_of("se2")
    assert images.labels is not None
    half_width = config.support.half_widths(group)[0]
    rings = describe_pixels(images.pixels, group, 0.0).rings
    rows = []
    for kind in range(10):
        others = (images.labels != kind).nonzero()[:, 0]
        tenth = (images.labels == kind).nonzero()[:FRESH, 0]
        known, more = rings[others[:KNOWN]], others[KNOWN : KNOWN + MORE]
        graph = invariant_graph(known, 15, reach=reach_of(half_width))
        cluster = start_clusters(known.flatten(1), graph, 9, restarts=1).labels
        found = new_kinds(known, cluster, rings[torch.cat([more, tenth])], half_width)
        fresh = (found.number != NONE).float()
        row: dict[str, object] = {"set": name, "kind": kind, "new_groups": found.count}
        row["of_the_kind"] = round(fresh[MORE:].mean().item(), 3)
        row["of_others"] = round(fresh[:MORE].mean().item(), 3)
        rows.append(row)
        print(row, flush=True)
    return rows


def of_known_kinds(name: str) -> list[dict[str, object]]:
    """Rows of new images that show what a run knows: fewer than it has, and more."""
    config = PRESETS["quick"]().changed(data={"source": name, "limit": 3000})
    images, group = prepare_for(config).train.images, group_of("se2")
    half_width = config.support.half_widths(group)[0]
    rings = describe_pixels(images.pixels, group, 0.0).rings
    rows = []
    for known, more in ((1000, 300), (400, 800), (200, 1200)):
        for seed in range(3):
            order = torch.randperm(len(rings), generator=torch.Generator().manual_seed(seed))
            own, new = rings[order[:known]], rings[order[known : known + more]]
            graph = invariant_graph(own, 15, reach=reach_of(half_width))
            cluster = start_clusters(own.flatten(1), graph, 10, restarts=1).labels
            found = new_kinds(own, cluster, new, half_width)
            row: dict[str, object] = {"set": name, "known": known, "more": more, "seed": seed}
            rows.append(row | {"new_groups": found.count})
            print(rows[-1], flush=True)
    return rows


def settings(clusters: int, epochs: int, seed: int) -> Config:
    """Settings of the trainings."""
    return settle(
        Config().changed(
            data={"source": "mnist-mini", "limit": LEARNED},
            model={"clusters": clusters},
            start={"restarts": 2},
            train={"epochs": epochs, "batch_size": 50, "seed": seed},
        )
    )


def of_kind(part: Posed, kinds: int, most: int) -> Posed:
    """The first images of a part that show one of the first kinds."""
    assert part.images.labels is not None
    return part.subset((part.images.labels < kinds).nonzero()[:most, 0])


def scored(config: Config, data: Splits, given: Given, run: Path) -> tuple[float, float]:
    """Train; return accuracy and negative ELBO on validation images."""
    run.mkdir()
    given.write(run)
    fit(config, data, run)
    opened = TrainedRun.open(run)
    scores = opened.scores(data)
    return scores["accuracy"].value, opened.state["position"]["best"]


def of_weights(folder: Path) -> list[dict[str, object]]:
    """Rows of trainings from learned weights, and anew."""
    data = prepare_for(settings(10, BEFORE, 0))
    scored(settings(10, BEFORE, 0), data, Given(), folder / "before")
    weights = TrainedRun.open(folder / "before").model.state_dict()
    rows = []
    for kinds in (10, 5):
        train, rest = of_kind(data.train, kinds, AGAIN), (400, 500)
        parts = [of_kind(p, kinds, n) for p, n in zip((data.validation, data.test), rest)]  # noqa: B905
        some = Splits(train=train, validation=parts[0], test=parts[1])
        for learned, epochs in ((True, 4), (False, 4), (False, 8)):
            found = []
            for seed in (0, 1):
                given = Given(weights=weights if learned else {})
                run = folder / f"{kinds}-{learned}-{epochs}-{seed}"
                found.append(scored(settings(kinds, epochs, seed), some, given, run))
            row: dict[str, object] = {"kinds": kinds, "learned": learned, "epochs": epochs}
            row["accuracy"] = round(mean(one for one, _ in found), 3)
            row["negative_elbo"] = round(mean(one for _, one in found), 1)
            rows.append(row)
            print(row, flush=True)
    return rows


def main() -> None:
    """Measure, and write results/new_images.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", action="store_true", help="keep the stored rows of weights")
    kinds_only = parser.parse_args().kinds
    torch.set_num_threads(1)
    began = time.perf_counter()
    kinds = [row for name in SETS for row in of_kinds(name)]
    nothing = [row for name in SETS for row in of_known_kinds(name)]
    if kinds_only:
        weights = json.loads((RESULTS / "new_images.json").read_text())["weights"]
    else:
        with tempfile.TemporaryDirectory() as folder:
            weights = of_weights(Path(folder))
    seconds = round(time.perf_counter() - began)
    found = {"kinds": kinds, "nothing_new": nothing, "weights": weights, "seconds": seconds}
    write_results("new_images", found)


if __name__ == "__main__":
    main()
