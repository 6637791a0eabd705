"""Make a folder of pictures of symbols: turned, shifted, with many sizes and file types.

    python scripts/make_symbols.py --out symbols

The symbols come from the font DejaVu Sans, which is a part of matplotlib. Each kind has its own
folder. 5 files are broken on purpose, and are listed at the end. The same seed gives the same
files.
`--kind tiff` makes 16-bit TIFFs, `--kind mrc` one stack with a table of its labels beside it.
"""

import argparse
import colorsys
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

SYMBOLS = {
    "airplane": "✈",
    "anchor": "⚓",
    "cloud": "☁",
    "crown": "♕",
    "flower": "✿",
    "knight": "♞",
    "note": "♫",
    "pencil": "✎",
    "scissors": "✂",
    "skull": "☠",
    "telephone": "☎",
    "umbrella": "☂",
}
ENDINGS = ("png", "jpg", "webp", "bmp", "tif")
FONT = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
BIG = 256  # side that symbols are drawn at, before they are scaled down


def drawn(symbol: str) -> Image.Image:
    """A symbol as a mask of its ink, in the middle of a square."""
    mask = Image.new("L", (BIG, BIG))
    font = ImageFont.truetype(str(FONT), int(0.62 * BIG))
    left, top, right, bottom = font.getbbox(symbol)
    where = ((BIG - left - right) / 2, (BIG - top - bottom) / 2)
    ImageDraw.Draw(mask).text(where, symbol, fill=255, font=font)
    return mask


def posed(mask: Image.Image, side: int, rng: np.random.Generator, rotation: float) -> Image.Image:
    """The mask turned within ± `rotation` degrees, shifted within 15 % of the side, and shrunk."""
    dx, dy = rng.uniform(-0.15, 0.15, 2) * BIG
    turned = mask.rotate(
        rng.uniform(-rotation, rotation), Image.Resampling.BICUBIC, translate=(dx, dy)
    )
    return turned.resize((side, side), Image.Resampling.LANCZOS)


def coloured(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Dark ink of any hue on near-white paper."""
    ink = [int(255 * c) for c in colorsys.hsv_to_rgb(rng.uniform(), 0.9, rng.uniform(0.3, 0.6))]
    paper = Image.new("RGB", mask.size, tuple(rng.integers(245, 256, 3).tolist()))
    paper.paste(tuple(ink), mask=mask)
    return paper


def deep(mask: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Bright on dark with noise, as a camera of 12 bits gives it in words of 16."""
    light = np.asarray(mask, np.float32) / 255 * rng.uniform(1500, 2500) + 300
    return (light + rng.normal(0, 60, light.shape)).clip(0, 4095).astype(np.uint16)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder to make")
    add("--images", type=int, default=3000)
    add("--kind", choices=("pictures", "tiff", "mrc"), default="pictures")
    add("--rotation", type=float, default=90.0, help="largest rotation either way, degrees")
    add("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    masks = {name: drawn(symbol) for name, symbol in SYMBOLS.items()}
    chosen.out.mkdir(parents=True)
    stack, labels = [], []
    for i in range(chosen.images):
        name = list(masks)[i % len(masks)]
        folder = chosen.out / name
        if chosen.kind == "pictures":
            folder.mkdir(exist_ok=True)
            mask = posed(masks[name], int(rng.integers(40, 161)), rng, chosen.rotation)
            ending = ENDINGS[int(rng.integers(len(ENDINGS)))]
            coloured(mask, rng).save(folder / f"{i:05}.{ending}")
            continue
        frame = deep(posed(masks[name], 64, rng, chosen.rotation), rng)
        if chosen.kind == "tiff":
            folder.mkdir(exist_ok=True)
            Image.fromarray(frame).save(folder / f"{i:05}.tif")
        else:
            stack.append(frame)
            labels.append(f"particles.mrcs#{i},{name}")
    if chosen.kind == "mrc":
        import mrcfile

        with mrcfile.new(chosen.out / "particles.mrcs") as file:
            file.set_data(np.stack(stack).astype(np.float32))
            file.set_image_stack()
        (chosen.out / "labels.csv").write_text("\n".join(["file,label", *labels]) + "\n", "utf-8")
    else:
        broken(chosen.out / next(iter(masks)))


def broken(folder: Path) -> None:
    """Five files that no one can read, each in a way of its own."""
    whole = next(path for path in sorted(folder.iterdir()) if path.stat().st_size > 400)
    (folder / f"cut{whole.suffix}").write_bytes(whole.read_bytes()[:200])
    (folder / "empty.png").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>404 not found</html>", "utf-8")
    np.save(folder / "nothing.npy", np.full((32, 32), np.nan))
    Image.new("L", (1, 1)).save(folder / "dot.png")
    for name in (f"cut{whole.suffix}", "empty.png", "page.jpg", "nothing.npy", "dot.png"):
        print(folder / name)


if __name__ == "__main__":
    main()
