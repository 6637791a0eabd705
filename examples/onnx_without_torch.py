"""Sort an image file with exported graphs; needs numpy, Pillow and onnxruntime, not torch.

mcevae export RUN --to onnx --out graphs
python examples/onnx_without_torch.py graphs picture.png canonical.png
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps

folder, picture, out = map(Path, sys.argv[1:])
form = json.loads((folder / "model.json").read_text())["image"]
image = Image.open(picture).convert("RGB" if form["channels"] == 3 else "L")
ground = (round(255 * form["background"]),) * form["channels"]
image = ImageOps.pad(image, (form["width"], form["height"]), Image.Resampling.BILINEAR, ground)
x = np.asarray(image, np.float32).reshape(1, form["height"], form["width"], -1) / 255
stretched = form["normalise"] == "image"
low, high = np.percentile(x, [0.1, 99.9]) if stretched else form["levels"] or (0, 1)
x = np.clip((x - low) / (high - low), 0, 1).transpose(0, 3, 1, 2).astype(np.float32)
encoded = InferenceSession(folder / "encode.onnx").run(None, {"image": x})
p, z_c, z, pose = map(np.asarray, encoded)
turned = np.degrees(np.arctan2(pose[0, 1, 0], pose[0, 0, 0]))
print(f"cluster {p.argmax()} (probability {p.max():.3f}), rotation {turned:.1f} degrees")
drawn = InferenceSession(folder / "canonical.onnx").run(None, {"z_c": z_c, "z": z})
pixels = (255 * np.asarray(drawn)[0, 0].transpose(1, 2, 0)).round().astype(np.uint8)
Image.fromarray(pixels.squeeze()).save(out)
