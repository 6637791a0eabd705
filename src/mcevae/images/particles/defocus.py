"""The CTF parameters of particles, from a STAR file or a .cs file."""

import math
from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.particles.cs import Records
from mcevae.images.particles.ctf import Defocus, Optics, flipped
from mcevae.images.particles.optics import StarOptics, pixel_of
from mcevae.images.particles.star import rows_of, unquoted
from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.reading import Reading

DEFOCUS = ("_rlnDefocusU", "_rlnDefocusV", "_rlnDefocusAngle", "_rlnPhaseShift")
OPTICS = ("_rlnVoltage", "_rlnSphericalAberration", "_rlnAmplitudeContrast")
DONE = ("_rlnCtfDataArePhaseFlipped", "_rlnCtfDataAreCtfPremultiplied")
"""Labels that say, if they are not 0, that images are corrected already."""
FINER = ("_rlnBeamTiltX", "_rlnOddZernike", "_rlnEvenZernike", "_rlnMagMat00")
"""Labels of aberrations that are left out."""
OF_CS = ("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/phase_shift_rad")
OPTICS_OF_CS = ("blob/psize_A", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast")


class Corrections:
    """The CTF of each particle of a table, some twenty megabytes for a million."""

    def __init__(self) -> None:
        self.numbers = array("f")
        """`DEFOCUS` of each particle, one after the other; NaN: nothing says it."""
        self.group = array("i")
        self.optics: dict[Optics, int] = {}

    def __len__(self) -> int:
        """How many particles there are."""
        return len(self.group)

    def add(self, defocus: tuple[float, ...], optics: Optics) -> None:
        """Add the next particle; `optics.pixel` may be 0, if nothing says it."""
        self.numbers.extend(defocus)
        self.group.append(self.optics.setdefault(optics, len(self.optics)))

    def flip(self, row: int, image: np.ndarray, pixel: float) -> np.ndarray:
        """The image (H, W) of a particle with its phases flipped.

        Args:
            row: of the particle.
            image: as it is in its stack.
            pixel: its size as the stack says it, Angstrom, if the table does not.

        Raises:
            Unreadable: there are no parameters.
        """
        defocus = Defocus(*self.numbers[len(DEFOCUS) * row : len(DEFOCUS) * (row + 1)])
        optics = self.known[self.group[row]]
        if not all(map(math.isfinite, (*defocus, *optics))) or not 0 <= optics.contrast <= 1:
            raise Unreadable("has no CTF parameters that are numbers, which --phase-flip needs")
        optics = optics._replace(pixel=optics.pixel or pixel)
        if not (optics.pixel > 0 and optics.voltage > 0):
            raise Unreadable(
                "has no size of pixels, or no voltage, which --phase-flip needs; add "
                "_rlnImagePixelSize to the optics groups"
            )
        return flipped(image.astype(np.float32), optics, defocus)

    @property
    def known(self) -> list[Optics]:
        """The optics by their number."""
        return list(self.optics)


def corrections_of(path: Path, reading: Reading) -> Corrections:
    """The CTF parameters of the particles of a .star or .cs file.

    Args:
        path: of the file.
        reading: gets a remark on what is left out.

    Raises:
        UserError: it has none, or says that they were used already.
    """
    if path.suffix.lower() == ".star":
        return of_star(path, reading)
    if path.suffix.lower() == ".cs":
        return of_cs(path)
    raise UserError(f"{path}: has no CTF parameters; --phase-flip needs a STAR or .cs file.")


def of_star(path: Path, reading: Reading) -> Corrections:
    """The parameters of a STAR file of RELION, before or since 3.1.

    Raises:
        UserError: as for `corrections_of`.
    """
    optics, found = StarOptics(path), Corrections()
    for rows in rows_of(path, optics.table):
        for row in rows:
            values = {} if isinstance(row, Unreadable) else optics.values(row)
            if values and not len(found):
                check(path, values, reading)
            shift = values.get(DEFOCUS[-1], "0")
            defocus = (*(number(values.get(label, "")) for label in DEFOCUS[:-1]), number(shift))
            rest = (number(values.get(label, "")) for label in OPTICS)
            found.add(defocus, Optics(pixel_of(values), *rest))
    return found


def check(path: Path, values: Mapping[str, str], reading: Reading) -> None:
    """Refuse tables without parameters, or of images that are corrected already.

    Raises:
        UserError: it is so.
    """
    if missing := [label for label in (*DEFOCUS[:2], *OPTICS) if label not in values]:
        raise UserError(
            f"{path}: has no {', '.join(missing)}, which --phase-flip needs; give a STAR file of "
            "particles with CTF parameters."
        )
    if done := [label for label in DONE if number(values.get(label, "0")) != 0]:
        raise UserError(
            f"{path}: says that its images are corrected already ({done[0]}); leave out "
            "--phase-flip."
        )
    if finer := [label for label in FINER if label in values]:
        reading.of(path.name).note(
            f"has aberrations that phase flipping leaves out ({', '.join(finer)})"
        )


def of_cs(path: Path) -> Corrections:
    """The parameters of a .cs file.

    Raises:
        UserError: as for `corrections_of`.
    """
    records, found = Records.of(path), Corrections()
    names = records.kind.names or ()
    if missing := [one for one in (*OF_CS[:3], *OPTICS_OF_CS[1:]) if one not in names]:
        raise UserError(
            f"{path}: has no {', '.join(missing)}, which --phase-flip needs; give the .cs file "
            "with the CTF of its particles."
        )
    for some in records:
        zeros = np.zeros(len(some))
        u, v, angle, phase = (some[one] if one in names else zeros for one in OF_CS)
        numbers = np.stack([u, v, np.degrees(angle), np.degrees(phase)], -1).tolist()
        rest = np.stack([some[one] if one in names else zeros for one in OPTICS_OF_CS], -1)
        for defocus, own in zip(numbers, rest.astype(np.float64).tolist(), strict=True):
            found.add(tuple(defocus), Optics(*own))
    return found


def number(value: str) -> float:
    """A number, or NaN if it is none."""
    try:
        return float(unquoted(value)) if value else math.nan
    except ValueError:
        return math.nan
