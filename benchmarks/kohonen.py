"""Time a rotation-invariant map takes at the sizes of its authors' benchmark.

    python benchmarks/kohonen.py --images 10000 --threads 2

PINK's authors show 176,750 images of 124 x 124 pixels of the Radio Galaxy Zoo to 331 neurons, at
360 rotations and their mirror images. Here are as many pixels, neurons and rotations, and images
that a script draws: a core and two lobes, bent, of any size and in any pose. One pass over them is
timed, by the clock and by the processor, whatever else runs on the machine. Writes
results/kohonen.json, and --picture what the first neurons look like.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from common import write_results
from PIL import Image
from torch import Tensor

from mcevae.base.machine import keep_memory
from mcevae.images.arrays import to_bytes
from mcevae.models.config import PRESETS
from mcevae.models.peers.som import BATCH, ENERGY, MEASURED, SelfOrganisingMap, Shown
from mcevae.models.registry import build
from mcevae.training.schedule import planned

SIDE, NEURONS, ANGLES, CHUNK = 124, 331, 360, 200
PUBLISHED = {
    "images": 176_750,
    "source": "README.md and benchmark.md of HITS-AIN/PINK; not measured here",
    "seconds": {
        "PINK 2, Intel Gold 5118, 24 cores": 35_373,
        "PINK 2, Intel Gold 6230 and two NVIDIA RTX 2080 SUPER": 477,
    },
}
"""What its authors measured on their machines; neurons of 64 x 64 pixels."""


def galaxies(count: int, generator: torch.Generator) -> Tensor:
    """Images (count, 1, SIDE, SIDE), uint8, of a core and two lobes with noise."""

    def drawn(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator)

    turn, bend, reach = drawn(0, 2 * math.pi), drawn(-0.6, 0.6), drawn(8, 38)
    angles = torch.cat([turn, turn + bend, turn + math.pi - bend], 1)
    away = torch.cat([torch.zeros_like(reach), reach, reach * drawn(0.6, 1.0)], 1)
    middle = torch.stack([away * angles.cos(), away * angles.sin()], -1)  # (count, 3, 2)
    width = torch.cat([drawn(2, 3), drawn(3, 9), drawn(3, 9)], 1)
    light = torch.cat([drawn(0.2, 1), drawn(0.4, 1), drawn(0.2, 1)], 1)
    place = torch.arange(SIDE) - (SIDE - 1) / 2
    across, down = (
        torch.exp(-(((place - middle[..., axis, None]) / width[..., None]) ** 2) / 2)
        for axis in (0, 1)
    )
    images = torch.einsum("nb,nby,nbx->nyx", light, down, across)
    noise = 0.02 * torch.randn(images.shape, generator=generator)
    return to_bytes((images + noise).clamp(0, 1)[:, None])


def picture(model: SelfOrganisingMap, path: Path, columns: int = 19) -> None:
    """Draw the neurons side by side, ring after ring of the grid."""
    with torch.no_grad():
        neurons = model.canonical(torch.eye(NEURONS), torch.zeros(NEURONS, 0))[:, 0]
    neurons = torch.cat([neurons, neurons.new_zeros(-NEURONS % columns, SIDE, SIDE)])
    sheet = neurons.unflatten(0, (-1, columns)).transpose(1, 2).flatten(2).flatten(0, 1)
    Image.fromarray((255 * sheet / sheet.max()).byte().numpy()).reduce(2).save(path)


def main() -> None:
    """Draw the images, show them to the map, and write how long it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--picture", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_memory()
    generator = torch.Generator().manual_seed(0)
    counts = [min(CHUNK, chosen.images - begin) for begin in range(0, chosen.images, CHUNK)]
    pixels = torch.cat([galaxies(count, generator) for count in counts])
    config = PRESETS["som"]().changed(model={"clusters": NEURONS, "group": "so2"})
    config = config.changed(support={"rotation": 180.0})
    model = build(config, (1, SIDE, SIDE)).eval()
    assert isinstance(model, SelfOrganisingMap) and model.angles == len(model.steps) == ANGLES
    teacher = model.teacher(planned(config, len(pixels)), pixels)
    assert isinstance(teacher, Shown)
    clock, processor = time.perf_counter(), time.process_time()
    teacher.prepare(0, 1)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    if chosen.picture:
        picture(model, chosen.picture)
    result = {
        "images": len(pixels),
        "side": SIDE,
        "neurons": NEURONS,
        "rotations": ANGLES,
        "mirror_images": model.group.mirrors,
        "rings": model.rings,
        "frequencies": teacher.frequencies(torch.arange(min(MEASURED, len(pixels))).split(BATCH)),
        "energy": ENERGY,
        "seconds": round(clock, 1),
        "processor_seconds": round(processor, 1),
        "images_a_second": round(len(pixels) / clock, 1),
        "images_a_processor_second": round(len(pixels) / processor, 1),
        "published": PUBLISHED,
    }
    print(result)
    flags = f"--images {chosen.images} --threads {chosen.threads}"
    write_results("kohonen", result, f"python benchmarks/kohonen.py {flags}")


if __name__ == "__main__":
    main()
