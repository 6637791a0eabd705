"""Draw wafer maps: which chips of a wafer failed its test, in five patterns that failures have.

    python make_wafers.py
    python make_wafers.py --out tonight.npz --seed 1 --often edge

Writes a .npz with the array images, (n, 48, 48) as bytes: 0 outside of the wafer, 1 a good chip,
2 a bad one. Wafers lie in any direction. The file truth-NAME.csv says what each map shows (nothing
but this page's figures reads it). Needs numpy alone.
"""

import argparse
from pathlib import Path

import numpy as np

SIDE = 48
"""Chips from side to side."""
KINDS = ("edge", "spot", "scratch", "donut", "half")


def pattern(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Where a wafer fails, (H, W) of booleans, in any direction."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    angle, some = rng.uniform(0, 2 * np.pi), rng.normal(0, 1, 3)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius, direction = np.hypot(u, v), np.arctan2(v, u)
    if kind == "edge":
        return (radius > 17.5 + some[0] / 2) & (np.abs(direction) < 1.1 + 0.1 * some[1])
    if kind == "spot":
        return np.hypot(u - 9 - some[0], v) < 6 + some[1] / 2
    if kind == "scratch":
        bow = v - 7 + (u / (6 + some[0] / 3)) ** 2
        return (np.abs(bow) < 1.5) & (np.abs(u) < 15 + some[1])
    if kind == "donut":
        return np.abs(radius - 11 - some[0] / 2) < 3
    return u > 4 + some[0]


def wafer(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A map: 85 in 100 chips fail in the pattern, and 3 elsewhere."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    bad = rng.random((SIDE, SIDE)) < np.where(pattern(kind, rng), 0.85, 0.03)
    return np.where(np.hypot(x, y) < SIDE / 2 - 1, 1 + bad, 0).astype(np.uint8)


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("wafers.npz"))
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--often", choices=KINDS, help="a pattern that is seen four times as often")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    pool = [*KINDS, *([given.often] * 3 if given.often else [])]
    kinds = [pool[rng.integers(len(pool))] for _ in range(given.images)]
    np.savez_compressed(given.out, images=np.stack([wafer(kind, rng) for kind in kinds]))
    truth = [f"{given.out.name}#{i},{kind}" for i, kind in enumerate(kinds)]
    Path(f"truth-{given.out.stem}.csv").write_text("\n".join(["file,kind", *truth]) + "\n", "utf-8")
    print(f"{given.out}: {given.images} wafers")


if __name__ == "__main__":
    main()
