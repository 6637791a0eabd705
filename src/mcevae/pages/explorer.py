"""The explorer: answers the requests of the page on which people look at a run and correct it.

Everything here is plain Python. `serve` is the web server around it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import mirrored, reflect
from mcevae.images.arrays import to_bytes
from mcevae.images.composites import composite
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import READERS, ending_of, frames_of
from mcevae.images.recipe import Recipe
from mcevae.images.sources.frames import prepared, sifted
from mcevae.images.suiting import suited
from mcevae.pages.averages import add_averages
from mcevae.pages.facts import images_of
from mcevae.pages.gallery import Gallery, collections_of
from mcevae.pages.history import History
from mcevae.pages.sheets import data_uri, png, strips
from mcevae.pages.stage import is_first
from mcevae.predicting.pictures import encoded, ending
from mcevae.predicting.sums import Sums
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import misfit
from mcevae.runs.coordinates import Originals
from mcevae.runs.frames import Frames
from mcevae.runs.infer import outputs
from mcevae.runs.run import TrainedRun

FARTHEST = 1e6
"""Largest size of a latent that is drawn."""
Z_REACH = 3.0
"""Smallest range of the sliders of z, to each side."""


class Behind(Exception):
    """Whoever asks for a change of the groups has seen older ones.

    Attributes:
        groups: the present groups, as `Explorer.groups` gives them.
    """

    def __init__(self, groups: dict[str, Any]) -> None:
        super().__init__(
            "the groups were changed meanwhile, here or elsewhere; look at them as they are now, "
            "and do it again if you still want it"
        )
        self.groups = groups


@dataclass(kw_only=True)
class Explorer:
    """An open run that people explore.

    Attributes:
        run: the run. groups.json in its folder is read for every answer, since commands change it
            as well, and written at every change.
        gallery: images of the run.
        sums: sums of the images of each unit, for the averages of the groups. None: the page shows
            no averages.
    """

    run: TrainedRun
    gallery: Gallery
    sums: Sums | None = None
    _collections: Collections = field(init=False)
    _history: History = field(init=False, default_factory=History)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    _decoding: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._collections = self.run.collections

    @property
    def collections(self) -> Collections:
        """The groups as they are now in the run's folder.

        Raises:
            UserError: groups.json is damaged.
        """
        with self._lock:
            now = self.run.collections
            if now.version != self._collections.version:  # somebody else has changed them
                self._history, self._collections = History(), now
            return self._collections

    @property
    def frames(self) -> Frames:
        """The canonical frames as they are turned now."""
        return replace(self.gallery.frames, collections=self.collections)

    def images(self) -> dict[str, Any]:
        """All images, and the ranges of the sliders that change latents."""
        _, height, width = self.run.shape
        reach = np.abs(self.gallery.z).max(0, initial=Z_REACH)
        bench = {
            "clusters": self.gallery.clusters,
            "z": [round(float(value), 1) for value in reach],
            "strip": {"width": 4 * width, "height": height},
        }
        return {**images_of(self.gallery), "bench": bench}

    def groups(self) -> dict[str, Any]:
        """The groups of all images, their version, and how many changes to undo and redo."""
        with self._lock:
            now = self.collections
            made = collections_of(self.gallery, now, self.run.model)
            if self.sums is not None:
                add_averages(made, self.sums, self.run, now)
            known = {"undo": len(self._history.past), "redo": len(self._history.future)}
            return {**made, "version": now.version, **known}

    def change(
        self, how: Callable[[Collections], Collections], version: str | None = None
    ) -> dict[str, Any]:
        """Change the groups, save them in the run, and return them.

        Args:
            how: makes new groups from the present ones.
            version: version of the groups that whoever asks has seen; None: any.

        Raises:
            Behind: the groups have another version.
            ValueError: this change is not possible, or the run is the first answer of a training.
        """
        with self._present(version) as old:
            made = how(old)
            if made != old:
                self.run.regroup(made)
                self._history.add(old)
                self._collections = made
            return self.groups()

    def turn(
        self, group: str, degrees: float, flip: bool = False, version: str | None = None
    ) -> dict[str, Any]:
        """Turn what is drawn of a group clockwise, after it is flipped left for right if asked.

        Args:
            group: its id.
            degrees: how far.
            flip: whether to exchange left and right first.
            version: as in `change`.

        Raises:
            Behind: the groups have another version.
            UserError: poses of this run have no such turns.
            ValueError: there is no such group.
        """

        def turned(old: Collections) -> Collections:
            index = old.identified(group)
            return (old.flipped(index) if flip else old).turned(index, degrees)

        return self.change(turned, version)

    def step(self, back: bool, version: str | None = None) -> dict[str, Any]:
        """Undo the last change of this explorer, unless groups were changed elsewhere since.

        Args:
            back: undo a change; else make again the last one that was undone.
            version: as in `change`.

        Raises:
            Behind: the groups have another version.
            ValueError: there is no such change.
        """
        with self._present(version) as now:
            self._collections = self._history.step(now, back=back)
            self._collections.write(self.run.folder)
            return self.groups()

    @contextmanager
    def _present(self, version: str | None) -> Iterator[Collections]:
        """Give the present groups, which nobody else changes meanwhile."""
        if is_first(self.run):
            raise ValueError(
                "this is the first answer, which training will replace; change groups when it ends"
            )
        with self._lock, Collections.locked(self.run.folder):
            now = self.collections
            if version not in (None, now.version):
                raise Behind(self.groups())
            yield now

    def strip(self, image: int) -> bytes:
        """Image, canonical image, reconstruction and residual side by side, as PNG.

        Raises:
            IndexError: there is no such image.
        """
        return png(self._strip(*self._look(self._pixels(image), image)))

    def latents(self, image: int) -> dict[str, Any]:
        """Cluster, z, pose and so on of an image: the start values of the sliders.

        Raises:
            IndexError: there is no such image.
        """
        own = self.gallery.originals.taken(np.array([image]))
        return self._latents(self._look(self._pixels(image), image)[1], own)

    def look(self, name: str, content: bytes) -> dict[str, Any]:
        """Run the model on a new image file. If the file has several frames, use the first.

        Raises:
            ValueError: the file cannot be read as an image.
        """
        name, ending = Path(name).name, ending_of(name)
        if ending not in READERS:
            raise ValueError(f"{name} is not a known type of file; use {', '.join(READERS)}")
        with (
            self._decoding,  # one file at a time: it may take gigabytes
            TemporaryDirectory() as folder,
        ):
            path = Path(folder) / f"new{ending}"
            path.write_bytes(content)
            read_by = Reading.by(self.run.settings.data)
            frame, recipe = next(frames_of(path, name, read_by)), self.run.recipe
            if isinstance(frame, Frame):
                recipe = recipe_for_one(recipe, frame)
            image = prepared(frame, recipe, name, "skip")
        if isinstance(image, Fault):
            raise ValueError(f"{image.name} {image.reason}")
        x, out = self._look(image[None])
        probability = out.responsibilities.cpu()
        bad = misfit(x, out.reconstruction).cpu()
        assert isinstance(frame, Frame)  # of a fault, `prepared` makes a fault
        latents = self._latents(out, self._original(frame.pixels.shape[:2]))
        groups = self.collections
        group = groups.assign(np.array([latents["cluster"]]), out.z.cpu().numpy())
        return {
            **latents,
            "name": name,
            "group": groups.entries[int(group[0])].name,
            "probability": probability[0].tolist(),
            "confidence": float(self.run.calibration.confidence(probability, bad)[0]),
            "outlier": float(self.run.calibration.outlier(probability, bad)[0]),
            "strip": data_uri(png(self._strip(x, out)), "png"),
        }

    def draw(
        self,
        cluster: int,
        z: list[float],
        pose: list[float],
        mirrored: bool = False,
        size: tuple[int, int] | None = None,
    ) -> dict[str, str]:
        """Draw the canonical image of a cluster and z, and the same image moved by a pose.

        Args:
            cluster: number of the cluster.
            z: variation, V numbers.
            pose: T numbers, as tables have them.
            mirrored: whether to exchange left and right before the image is moved.
            size: height and width of an original, in whose pixels shifts are. None: in those of the
                images that the model takes.

        Raises:
            ValueError: there is no such cluster, or there are too many or too few numbers, or one
                is too large.
        """
        found, model = self.gallery, self.run.model
        if not 0 <= cluster < found.clusters:
            raise ValueError(f"there is no cluster {cluster}; there are 0 to {found.clusters - 1}")
        for name, given, count in (("z", z, found.z.shape[1]), ("pose", pose, found.pose.shape[1])):
            if len(given) != count or not (np.abs(given) <= FARTHEST).all():
                raise ValueError(f"{name} must be {count} numbers of at most {FARTHEST:g}")
        device = next(model.parameters()).device
        members = torch.from_numpy(np.flatnonzero(found.cluster == cluster))
        z_c = found.z_c[members].mean(0) if len(members) else torch.zeros(found.z_c.shape[1])
        given = self._original(size or self.run.shape[1:]).written(np.array([pose]), model.group)
        element = model.group.from_parameters(torch.from_numpy(given))
        element = reflect(element, torch.tensor([mirrored]))
        z_c, code = (values[None].to(device) for values in (z_c, torch.tensor(z)))
        with self._lock, torch.inference_mode():
            frames, own = self.frames, torch.tensor([cluster], device=device)
            canonical = frames.pictures(model.canonical(z_c, code), own, code)
            moved = model.render(z_c, code, frames.own_poses(element.to(device), own, code))
        pictures = {"canonical": canonical, "moved": moved}
        seen = {k: to_bytes(composite(v, found.colours))[0].cpu() for k, v in pictures.items()}
        return {k: data_uri(png(v), "png") for k, v in seen.items()}

    def write_canonical(self, file: IO[bytes]) -> None:
        """Write a zip with every canonical image, as a file named by its number in the table."""
        told, frames, kind = self.gallery.evidence, self.frames, ending(self.run.recipe)
        found = outputs(self.run.model, self.gallery.pixels, evidence=told)
        images = (one for _, out in found for one in to_bytes(frames.canonical(out)).cpu())
        with ZipFile(file, "w", ZIP_STORED) as archive:  # PNGs do not shrink further
            for number, image in enumerate(images):
                archive.writestr(f"canonical/{number:07}{kind}", encoded(image, kind))

    def _strip(self, x: Tensor, out: Any) -> Tensor:
        canonical = self.frames.canonical(out)
        return strips(x, canonical, out.reconstruction, self.gallery.colours)[0]

    def _pixels(self, image: int) -> Tensor:
        self.gallery.check(image)
        return self.gallery.pixels[image : image + 1]

    def _look(self, pixels: Tensor, image: int | None = None) -> tuple[Tensor, Any]:
        told = self.gallery.evidence
        own = None if told is None or image is None else told[image : image + 1]
        with self._lock:
            return next(outputs(self.run.model, pixels, evidence=own))

    def _original(self, size: Sequence[int]) -> Originals:
        """An image of this height and width, as it lies in its file."""
        fit = self.run.settings.data.fit
        return Originals(shape=self.run.shape, fit=fit, sizes=np.array([size]))

    def _latents(self, out: Any, original: Originals) -> dict[str, Any]:
        """What the sliders need of an image; `reach` is the support of its pose."""
        pose, group = self.frames.pose(out), self.run.model.group
        assert original.sizes is not None
        return {
            "cluster": int(out.responsibilities[0].argmax()),
            "z": out.z[0].tolist(),
            "pose": original.read(group.to_parameters(pose).cpu(), group)[0].tolist(),
            "mirrored": bool(mirrored(pose)[0]),
            "size": tuple(original.sizes[0].tolist()),
            "reach": [one.half_width for one in original.widest(self.run.coordinates)],
        }


def recipe_for_one(recipe: Recipe, frame: Frame) -> Recipe:
    """The recipe of a run, suited to the numbers of one image.

    Raises:
        ValueError: they are of another kind than those of the training.
    """
    try:
        return suited(recipe, sifted([frame], "image", recipe=recipe)[0], frame.name)
    except UserError as error:
        raise ValueError(str(error)) from error
