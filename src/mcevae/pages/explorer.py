"""A run that people look around in and correct: what the explorer's page asks for.

Everything here is plain Python; `serve` is the web server around it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import torch
from torch import Tensor

from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.folder import prepared, recipe_for
from mcevae.images.readers import READERS, Fault, frames_of
from mcevae.models.config import Config
from mcevae.models.registry import Model
from mcevae.pages.gallery import Gallery, groups_of, images_of
from mcevae.pages.sheets import data_uri, png, strips
from mcevae.runs.collections import Curation
from mcevae.runs.confidence import Calibration, misfit
from mcevae.runs.infer import human, outputs

HISTORY = 100
"""Changes of groups that can be undone."""
FARTHEST = 1e6
"""Latents that are drawn."""
Z_REACH = 3.0
"""How far the sliders of z go to both sides, at least."""


@dataclass(kw_only=True)
class Explorer:
    """A run, opened.

    Attributes:
        run: its folder; groups.json there is read at first and written at every change.
        model: in evaluation mode.
        config: settings of the run.
        gallery: its images.
        calibration: of confidence and outlier score.
    """

    run: Path
    model: Model
    config: Config
    gallery: Gallery
    calibration: Calibration
    _curation: Curation = field(init=False)
    _before: list[Curation] = field(init=False, default_factory=list)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    _decoding: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._curation = Curation.read(self.run, self.gallery.clusters)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        channels, height, width = self.gallery.pixels.shape[1:]
        return channels, height, width

    @property
    def curation(self) -> Curation:
        """The groups as they are now."""
        return self._curation

    def images(self) -> dict[str, Any]:
        """All images, and how the latents can be moved."""
        _, height, width = self.shape
        reach = np.abs(self.gallery.z).max(0, initial=Z_REACH)
        bench = {
            "clusters": self.gallery.clusters,
            "z": [round(float(value), 1) for value in reach],
            "strip": {"width": 4 * width, "height": height},
        }
        return {**images_of(self.gallery), "bench": bench}

    def groups(self) -> dict[str, Any]:
        """The groups of all images, and whether a change can be undone."""
        with self._lock:
            made = groups_of(self.gallery, self._curation, self.model)
            return {**made, "undo": len(self._before)}

    def change(self, how: Callable[[Curation], Curation]) -> dict[str, Any]:
        """Change the groups, keep them in the run, and return them.

        Raises:
            ValueError: they cannot be changed so.
        """
        with self._lock:
            made = how(self._curation)
            if made != self._curation:
                made.write(self.run)
                self._before = [*self._before[1 - HISTORY :], self._curation]
                self._curation = made
            return self.groups()

    def split(self, group: int) -> dict[str, Any]:
        """Take a group apart, see `Curation.split`."""
        found = self.gallery
        return self.change(lambda old: old.split(group, found.cluster, found.z))

    def undo(self) -> dict[str, Any]:
        """Take the last change back.

        Raises:
            ValueError: there is none.
        """
        with self._lock:
            if not self._before:
                raise ValueError("there is no change to undo")
            self._curation = self._before.pop()
            self._curation.write(self.run)
            return self.groups()

    def strip(self, image: int) -> bytes:
        """Image, canonical image, reconstruction and residual side by side, as PNG.

        Raises:
            IndexError: there is no such image.
        """
        x, out = self._look(self._pixels(image))
        return png(strips(x, out.canonical, out.reconstruction)[0])

    def latents(self, image: int) -> dict[str, Any]:
        """Cluster, z and tau of an image, from where sliders start.

        Raises:
            IndexError: there is no such image.
        """
        _, out = self._look(self._pixels(image))
        return self._latents(out)

    def look(self, name: str, content: bytes) -> dict[str, Any]:
        """What the model says of an image file that is new to it; its first frame, of several.

        Raises:
            ValueError: it cannot be read as an image.
        """
        name, ending = Path(name).name, Path(name).suffix.lower()
        if ending not in READERS:
            raise ValueError(f"{name} is of a kind that is not read; use {', '.join(READERS)}")
        with self._decoding, TemporaryDirectory() as folder:  # one may take gigabytes
            path = Path(folder) / f"new{ending}"
            path.write_bytes(content)
            recipe = recipe_for(self.config.data, self.shape)
            settings = replace(self.config.data, on_error="skip")  # which is no run's to stop at
            image = prepared(next(frames_of(path, name)), recipe, path, settings)
        if isinstance(image, Fault):
            raise ValueError(f"{image.name} {image.reason}")
        x, out = self._look(image[None])
        probability = out.responsibilities.cpu()
        latents = self._latents(out)
        group = self.curation.assign(np.array([latents["cluster"]]), out.z.cpu().numpy())
        parameters = self.model.group.to_parameters(out.element)[0].cpu().numpy()
        return {
            **latents,
            "name": name,
            "group": self.curation.groups[int(group[0])].name,
            "probability": probability[0].tolist(),
            "confidence": float(self.calibration.confidence(probability)[0]),
            "outlier": float(self.calibration.outlier(misfit(x, out.reconstruction).cpu())[0]),
            "pose": (parameters * self._factors()).tolist(),
            "strip": data_uri(png(strips(x, out.canonical, out.reconstruction)[0]), "png"),
        }

    def draw(self, cluster: int, z: list[float], tau: list[float]) -> dict[str, str]:
        """The canonical image of a cluster and z, and the same moved by exp(tau).

        Args:
            cluster: which.
            z: V numbers.
            tau: T tangent coordinates, in the units of the gallery's coordinates.

        Raises:
            ValueError: there is no such cluster, or numbers are too many, too few or too large.
        """
        found = self.gallery
        if not 0 <= cluster < found.clusters:
            raise ValueError(f"there is no cluster {cluster}; there are 0 to {found.clusters - 1}")
        for name, given, count in (("z", z, found.z.shape[1]), ("tau", tau, found.pose.shape[1])):
            if len(given) != count or not (np.abs(given) <= FARTHEST).all():
                raise ValueError(f"{name} must be {count} numbers of at most {FARTHEST:g}")
        device = next(self.model.parameters()).device
        members = torch.from_numpy(np.flatnonzero(found.cluster == cluster))
        z_c = found.z_c[members].mean(0) if len(members) else torch.zeros(found.z_c.shape[1])
        latents = [
            values[None].to(device)
            for values in (z_c, torch.tensor(z), torch.tensor(tau) / torch.tensor(self._factors()))
        ]
        with self._lock, torch.inference_mode():
            canonical = self.model.canonical(*latents[:2])
            moved = self.model.decode(*latents)
        pictures = {"canonical": canonical, "moved": moved}
        return {k: data_uri(png(to_bytes(v)[0].cpu()), "png") for k, v in pictures.items()}

    def write_canonical(self, file: IO[bytes]) -> None:
        """Write a zip of every canonical image, as PNG by its number in the table."""
        number = 0
        with ZipFile(file, "w", ZIP_STORED) as archive:  # PNGs do not shrink further
            for _, out in outputs(self.model, self.gallery.pixels):
                for image in to_bytes(out.canonical).cpu():
                    archive.writestr(f"canonical/{number:07}.png", png(image))
                    number += 1

    def _pixels(self, image: int) -> Tensor:
        if not 0 <= image < len(self.gallery):
            raise IndexError(f"there is no image {image}; there are 0 to {len(self.gallery) - 1}")
        return self.gallery.pixels[image : image + 1]

    def _look(self, pixels: Tensor) -> tuple[Tensor, Any]:
        x = to_float(pixels.to(next(self.model.parameters()).device))
        with self._lock, torch.inference_mode():
            return x, self.model(x, sample=False)

    def _factors(self) -> np.ndarray:
        units = self.model.group.units
        return np.array([human(unit, self.shape)[1] for unit in units], np.float32)

    def _latents(self, out: Any) -> dict[str, Any]:
        return {
            "cluster": int(out.responsibilities[0].argmax()),
            "z": out.z[0].tolist(),
            "tau": (out.tau[0].cpu().numpy() * self._factors()).tolist(),
        }
