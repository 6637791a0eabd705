"""One frame for the images of a cluster, from how pairs of them are turned.

Each edge of the graph says how one image is turned onto another. The leading eigenvector of the
Hermitian matrix w_ij exp(i angle_ij) gives each image an angle in a common frame (Singer, "Angular
synchronization by eigenvectors and semidefinite programming", 2011). Edges that are wrong do not
agree with each other, so they hardly move it. The same for the signs of mirror images comes first.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

ORDERS = 6
"""Symmetries of orders 1 to this are looked for."""
LEAST_GAIN = 0.2
"""An order of symmetry is taken if it makes turns this much more consistent than lower ones do."""
DENSE = 40
"""Matrices up to this size are solved exactly."""


@dataclass(frozen=True, kw_only=True)
class Edges:
    """E edges between the N images of a cluster: image `j` is R(angle) F^mirrored of image `i`.

    Attributes:
        i, j: (E,) images, 0 to N - 1.
        angle: (E,) radians.
        mirrored: (E,) bool.
        weight: (E,) above 0.
    """

    i: np.ndarray
    j: np.ndarray
    angle: np.ndarray
    mirrored: np.ndarray
    weight: np.ndarray

    def only(self, keep: np.ndarray) -> "Edges":
        """Return some of the edges."""
        return Edges(
            i=self.i[keep],
            j=self.j[keep],
            angle=self.angle[keep],
            mirrored=self.mirrored[keep],
            weight=self.weight[keep],
        )


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Poses of the N images of a cluster in one frame: image n is R(angle) F^mirrored of it.

    Attributes:
        angle: (N,) radians; modulo a whole turn divided by `order`.
        mirrored: (N,) bool.
        part: (N,) which connected part of the graph an image is in; each has a frame of its own.
        order: order of the rotational symmetry of what the images show, 1 for none.
        consistency: how well the turns agree, 0 to 1.
    """

    angle: np.ndarray
    mirrored: np.ndarray
    part: np.ndarray
    order: int
    consistency: float


def synchronise(edges: Edges, count: int, seed: int = 0) -> Frame:
    """Find the angle, and the mirror sign, of each image of a cluster.

    Args:
        edges: between its images.
        count: N, the number of images.
        seed: seed of the first vector of the iterations.
    """
    mirrored = np.zeros(count, bool)
    if edges.mirrored.any():  # or a part may get the other sign, since both are as good
        signs, _ = _leading(edges, np.where(edges.mirrored, -1.0, 1.0), _parts(edges, count), seed)
        mirrored = np.real(signs) < 0
    edges = edges.only((mirrored[edges.i] ^ mirrored[edges.j]) == edges.mirrored)
    part = _parts(edges, count)  # after edges with other signs have gone
    # In the frame of images that are not mirrored, turns of mirrored ones go the other way.
    turn = np.where(mirrored[edges.j], -edges.angle, edges.angle)
    solved = [
        _leading(edges, np.exp(1j * order * turn), part, seed) for order in range(1, ORDERS + 1)
    ]
    order = 1
    for tried in range(2, ORDERS + 1):
        if solved[tried - 1][1] > solved[order - 1][1] + LEAST_GAIN:
            order = tried
    vector, consistency = solved[order - 1]
    angle = np.angle(vector) / order
    return Frame(
        angle=np.where(mirrored, -angle, angle),
        mirrored=mirrored,
        part=part,
        order=order,
        consistency=float(np.clip(consistency, 0, 1)),
    )


def _matrix(edges: Edges, values: np.ndarray, count: int) -> sp.csr_matrix:
    """The Hermitian matrix with values v at (j, i) and their conjugates at (i, j)."""
    half = sp.csr_matrix((values, (edges.j, edges.i)), (count, count))
    return sp.csr_matrix((half + half.conj().T) / 2)


def _parts(edges: Edges, count: int) -> np.ndarray:
    """Which connected part of the graph each image is in, (N,)."""
    return connected_components(_matrix(edges, edges.weight, count), directed=False)[1]


def _leading(
    edges: Edges, values: np.ndarray, part: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Leading eigenvector of each connected part, and the mean agreement of edges with it.

    The agreement is the weighted mean of the real part of conj(v) z_j conj(z_i) over all edges,
    with all z of norm one: 1 if all edges agree.

    Args:
        edges: between the images.
        values: (E,) v, of norm one.
        part: (N,) connected parts, as `_parts` gives them.
        seed: seed of the first vector of the iterations.
    """
    weighted = _matrix(edges, edges.weight * values, len(part))
    vector = np.ones(len(part), dtype=complex)
    for each in range(part.max() + 1):
        members = np.flatnonzero(part == each)
        if len(members) > 1:
            vector[members] = _eigenvector(weighted[members][:, members], seed)
    size = np.abs(vector)
    unit = np.where(size > 1e-12, vector / np.maximum(size, 1e-12), 1.0)
    if not len(edges.i):
        return unit, 0.0
    agreement = np.real(values.conj() * unit[edges.j] * unit[edges.i].conj())
    return unit, float(np.average(agreement, weights=edges.weight))


def _eigenvector(matrix: sp.csr_matrix, seed: int) -> np.ndarray:
    """Leading eigenvector of a Hermitian matrix, normalised by the degrees of its rows."""
    degree = np.asarray(abs(matrix).sum(1)).ravel()
    scale = sp.diags(1 / np.sqrt(np.maximum(degree, 1e-12)))
    normal = sp.csr_matrix(scale @ matrix @ scale)
    if len(degree) <= DENSE:
        return np.linalg.eigh(normal.toarray())[1][:, -1]
    start = np.random.RandomState(seed).standard_normal(len(degree))
    # `eigsh` does not sort the eigenvalues of a complex matrix: take the largest by value.
    value, vector = eigsh(normal, k=1, which="LA", v0=start, tol=1e-4)  # pyright: ignore[reportArgumentType]
    return vector[:, value.argmax()]
