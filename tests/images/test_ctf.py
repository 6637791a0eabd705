"""Phase flipping: the CTF as physics has it, and particles that become more like the truth."""

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from scipy import constants

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.packing import write_pack
from mcevae.images.particles.ctf import Defocus, Optics, ctf, flipped
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.sources.registry import open_source

OPTICS = Optics(pixel=2.5, voltage=300.0, aberration=2.7, contrast=0.1)
DEFOCUS = [Defocus(15_000 + 2000 * i, 13_000 + 1000 * i, 25.0 * i - 40) for i in range(6)]
SIDE = 96
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
TRUTH = sum(
    level * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 2.5)
    for y, x, level in ((48, 40, 1.0), (40, 60, 0.7), (60, 52, 0.5), (50, 50, -0.6))
)


def of_physics(height: int, width: int, optics: Optics, defocus: Defocus) -> np.ndarray:
    """The CTF of all frequencies of `numpy.fft.fft2`, from constants of nature.

    In the form of cryoDRGN: -(sqrt(1 - w^2) sin(gamma) - w cos(gamma)).
    """
    energy = optics.voltage * 1e3 * constants.e
    momentum = np.sqrt(
        2 * constants.m_e * energy * (1 + energy / (2 * constants.m_e * constants.c**2))
    )
    length = constants.h / momentum * 1e10
    made = np.zeros((height, width))
    for i, y in enumerate(np.fft.fftfreq(height, optics.pixel)):
        for j, x in enumerate(np.fft.fftfreq(width, optics.pixel)):
            s, turn = np.hypot(x, y), np.arctan2(y, x) - np.radians(defocus.angle)
            z = defocus.u * np.cos(turn) ** 2 + defocus.v * np.sin(turn) ** 2
            gamma = 2 * np.pi * (-z * length * s**2 / 2)
            gamma += 2 * np.pi * optics.aberration * 1e7 * length**3 * s**4 / 4
            gamma -= np.radians(defocus.phase)
            w = optics.contrast
            made[i, j] = -(np.sqrt(1 - w**2) * np.sin(gamma) - w * np.cos(gamma))
    return made


@pytest.mark.parametrize("shape", [(32, 32), (33, 40), (20, 31)])
@pytest.mark.parametrize("phase", [0.0, 90.0])
def test_the_ctf_is_that_of_physics(shape: tuple[int, int], phase: float) -> None:
    for optics in (OPTICS, OPTICS._replace(voltage=200.0, aberration=0.001, contrast=0.07)):
        defocus = Defocus(18_000.0, 12_000.0, 35.0, phase)
        columns = (shape[1] + 1) // 2  # at the highest frequency, x is also -x
        wanted = of_physics(*shape, optics, defocus)[:, :columns]
        np.testing.assert_allclose(ctf(shape, optics, defocus)[:, :columns], wanted, atol=2e-3)
    assert ctf(shape, OPTICS, Defocus(18_000.0, 12_000.0, 35.0))[0, 0] == pytest.approx(0.1)


def seen(defocus: Defocus, noise: float = 0.0) -> np.ndarray:
    """What a microscope shows of the truth."""
    spectrum = np.fft.fft2(TRUTH) * of_physics(SIDE, SIDE, OPTICS, defocus)
    drawn = np.random.default_rng(0).normal(size=TRUTH.shape)
    return (np.fft.ifft2(spectrum).real + noise * drawn).astype(np.float32)


def likeness(image: np.ndarray, sharp: bool = True) -> float:
    """Correlation with the truth, of the frequencies beyond the first zero of the CTF."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE, OPTICS.pixel)] * 2))
    keep = frequency > 0.06 if sharp else frequency >= 0
    one, other = (np.fft.ifft2(np.fft.fft2(each) * keep).real.ravel() for each in (image, TRUTH))
    return float(np.corrcoef(one, other)[0, 1])


@pytest.mark.parametrize("defocus", DEFOCUS)
def test_flipping_makes_particles_more_like_the_truth(defocus: Defocus) -> None:
    for noise in (0.0, 0.02):
        image = seen(defocus, noise)
        made = flipped(image, OPTICS, defocus)
        assert made.dtype == np.float32
        assert likeness(made) > likeness(image) + 0.1
        assert likeness(made, sharp=False) > likeness(image, sharp=False)
    wrong = flipped(image, OPTICS, defocus._replace(angle=defocus.angle + 90))
    assert likeness(wrong) < likeness(made)


def star(folder: Path, version: str, **more: Any) -> Path:
    """A STAR file of six particles with CTF parameters, and their stack."""
    with mrcfile.new(folder / "stack.mrcs", overwrite=True) as file:
        file.set_data(np.stack([seen(one) for one in DEFOCUS]))
        file.voxel_size = 1.0  # not what the STAR file says
    rows = {
        "rlnImageName": [f"{i + 1:06}@stack.mrcs" for i in range(6)],
        "rlnDefocusU": [one.u for one in DEFOCUS],
        "rlnDefocusV": [one.v for one in DEFOCUS],
        "rlnDefocusAngle": [one.angle for one in DEFOCUS],
    }
    shared = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}
    path = folder / f"{version}.star"
    if version == "3.0":
        old = {"rlnDetectorPixelSize": 5.0, "rlnMagnification": 20_000.0}
        starfile.write(pd.DataFrame({**rows, **shared, **old, **more}), path)
    else:
        group = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [2.5], **shared, **more}
        particles = pd.DataFrame({**rows, "rlnOpticsGroup": 1})
        starfile.write({"optics": pd.DataFrame(group), "particles": particles}, path)
    return path


def cs(folder: Path) -> Path:
    """The same as a .cs file."""
    star(folder, "3.1")
    kind = [("blob/path", "S20"), ("blob/idx", "<u4"), ("blob/psize_A", "<f4")]
    names = ("df1_A", "df2_A", "df_angle_rad", "accel_kv", "cs_mm", "amp_contrast")
    made = np.zeros(6, [*kind, *((f"ctf/{name}", "<f4") for name in names)])
    for i, one in enumerate(DEFOCUS):
        numbers = (one.u, one.v, np.radians(one.angle), 300.0, 2.7, 0.1)
        made[i] = (b"stack.mrcs", i, 2.5, *numbers)
    with (folder / "particles.cs").open("wb") as file:
        np.save(file, made)
    return folder / "particles.cs"


@pytest.mark.parametrize("kind", ["3.0", "3.1", "cs"])
def test_parameters_come_from_the_table(tmp_path: Path, kind: str) -> None:
    path = cs(tmp_path) if kind == "cs" else star(tmp_path, kind)
    source = open_source(str(path), DataConfig(phase_flip=True))
    frames = list(source.sample())
    assert len(frames) == 6
    for frame, defocus in zip(frames, DEFOCUS, strict=True):
        assert isinstance(frame, Frame), frame
        np.testing.assert_allclose(
            frame.pixels, flipped(seen(defocus), OPTICS, defocus), atol=0.02 * np.ptp(frame.pixels)
        )
        assert likeness(frame.pixels) > likeness(seen(defocus)) + 0.1
    plain = next(iter(open_source(str(path)).sample()))
    assert isinstance(plain, Frame)
    np.testing.assert_array_equal(plain.pixels, seen(DEFOCUS[0]))


def test_what_cannot_be_flipped_is_refused(tmp_path: Path) -> None:
    flip = DataConfig(phase_flip=True)
    done = star(tmp_path, "3.1", rlnCtfDataAreCtfPremultiplied=1)
    with pytest.raises(UserError, match="says that its images are corrected already"):
        open_source(str(done), flip)
    bare = tmp_path / "bare.star"
    starfile.write(pd.DataFrame({"rlnImageName": ["1@stack.mrcs"], "rlnVoltage": [300.0]}), bare)
    with pytest.raises(UserError, match="has no _rlnDefocusU, _rlnDefocusV, _rlnSphericalAb"):
        open_source(str(bare), flip)
    (tmp_path / "list.txt").write_text("1@stack.mrcs\n")
    for name in ("list.txt", "stack.mrcs"):
        with pytest.raises(UserError, match=r"needs (the CTF parameters of )?a STAR or .cs file"):
            open_source(str(tmp_path / name), flip)
    path = star(tmp_path, "3.0")
    path.write_text(path.read_text().replace(str(DEFOCUS[1].u), "None", 1))
    found = list(open_source(str(path), flip).sample())
    assert sum(isinstance(one, Fault) for one in found) == 1
    assert isinstance(found[1], Fault)
    assert found[1].reason.startswith("has no CTF parameters that are numbers")
    finer = open_source(str(star(tmp_path, "3.1", rlnBeamTiltX=0.1)), flip)
    assert any("aberrations that phase flipping leaves out" in note for note in finer.notes)


def test_packs_remember_that_phases_are_flipped(tmp_path: Path) -> None:
    source = open_source(str(star(tmp_path, "3.1")), DataConfig(phase_flip=True))
    write_pack(source, tmp_path / "pack")
    assert open_source(str(tmp_path / "pack")).settled()["phase_flip"] is True
