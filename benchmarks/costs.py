"""Where the time of the default preset goes: operations, what the machine reaches, our share of it.

    python benchmarks/costs.py

Counts floating-point operations of an image (torch's own counter), measures what this machine
reaches on products of matrices of 2,048 (float32 and bfloat16) and on a convolution of the size of
the network's widest, then times a training step and inference and names their largest costs
(torch's profiler, self time on the CPU). One thread; seconds are of processor time, so that other
programs count for nothing. Writes results/costs.json.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from common import processor_seconds, write_results
from throughput import trainer_step
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from mcevae.base.machine import keep_memory
from mcevae.models.config import default
from mcevae.models.registry import build
from mcevae.runs.infer import outputs
from mcevae.training.schedule import BATCH

SIDE = 2048
SHOWN, ROUNDS = 6, 20
SMALL = {"source": "mnist-mini", "limit": 2000}


def reached() -> dict[str, float]:
    """Operations a second, in units of 10^9, on plain products and on a convolution."""
    found = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
        found[f"matrix_{name}"] = (
            2 * SIDE**3 / processor_seconds(lambda a=a, b=b: a @ b, ROUNDS) / 1e9
        )
    x, w = (
        torch.randn(shape).contiguous(memory_format=torch.channels_last)
        for shape in ((200, 48, 14, 14), (64, 48, 3, 3))
    )
    operations = 2 * 200 * 64 * 14 * 14 * 48 * 9
    convolve = processor_seconds(lambda: torch.nn.functional.conv2d(x, w, padding=1), ROUNDS)
    found["convolution_float32"] = operations / convolve / 1e9
    return {name: round(value, 1) for name, value in found.items()}


def costs(run: Callable[[], Any]) -> list[dict[str, Any]]:
    """The operations with the largest share of the time of five calls."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(5):
            run()
    events = seen.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    largest = sorted(events, key=lambda event: -event.self_cpu_time_total)[:SHOWN]
    return [
        {"operation": event.key, "share": round(event.self_cpu_time_total / total, 3)}
        for event in largest
    ]


def counted(run: Callable[[], Any]) -> int:
    """Floating-point operations of a call, products and convolutions alone."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def row(run: Callable[[], Any], images: int, peak: float) -> dict[str, Any]:
    """What a call over some images costs, and its share of the machine's matrix products."""
    operations, spent = counted(run), processor_seconds(run, ROUNDS)
    rate = operations / spent / 1e9
    return {
        "operations_per_image": operations // images,
        "images_per_second": round(images / spent, 1),
        "billion_operations_per_second": round(rate, 1),
        "share_of_matrix_products": round(rate / peak, 3),
        "largest": costs(run),
    }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    torch.manual_seed(0)
    peaks = reached()
    config = default().changed(data=SMALL, train={"batch_size": BATCH})
    model = build(config, (1, 28, 28)).eval()
    pixels = torch.randint(0, 256, (500, 1, 28, 28)).byte()

    def infer() -> list[Tensor]:
        return [out.canonical for _, out in outputs(model, pixels)]

    found = {}
    for precision in ("no", "bf16"):
        peak = peaks["matrix_bfloat16" if precision == "bf16" else "matrix_float32"]
        step = trainer_step(config.changed(train={"precision": precision}))
        found[f"step-{precision}"] = row(step, BATCH, peak)
    found["inference-no"] = row(infer, len(pixels), peaks["matrix_float32"])
    for name, one in found.items():
        print(name, one)
    print(write_results("costs", {"threads": 1, "reached": peaks, "rows": found}))


if __name__ == "__main__":
    main()
