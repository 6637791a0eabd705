"""Paths in their own frame, and their kinds."""

import numpy as np
import pytest
import torch
from films import path
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from mcevae.base.errors import UserError
from mcevae.tracking.describing import described
from mcevae.tracking.kinds import kinds_of

KINDS = ("line", "circle", "zigzag", "spiral", "random walk")


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    angle=st.floats(0, 7),
    size=st.floats(0.01, 100),
    x=st.floats(-1e3, 1e3),
    mirror=st.booleans(),
)
def test_paths_that_are_moved_are_described_alike(
    kind: str, angle: float, size: float, x: float, mirror: bool
) -> None:
    own = path(np.random.default_rng(1), kind)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.array([-1.0 if mirror else 1.0, 1.0])
    moved = size * (own * flip) @ turn.T + x
    one, other = described([own, moved])
    assert torch.allclose(one, other, atol=1e-3)


def test_frames_between_change_little_and_hands_are_told_on_request() -> None:
    t = np.linspace(0, 9, 60)
    own = np.stack([np.cos(t), np.sin(t) + 0.1 * t], 1)
    fine = np.stack([np.interp(np.linspace(0, 59, 237), np.arange(60), one) for one in own.T], 1)
    one, other = described([own, fine])
    assert (one - other).abs().max() < 0.02
    left, right = described([own, own * [-1, 1]], handed=True)
    assert (left - right).abs().max() > 0.5


def test_kinds_are_those_of_their_forms_and_short_paths_have_none() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(75) % 3
    paths = [path(rng, KINDS[k]) for k in kind]
    found = kinds_of([*paths, paths[0][:5]], 3)
    assert found[-1] == -1 and adjusted_rand_score(kind, found[:-1]) == 1
    with pytest.raises(UserError, match="2 tracks with 8 frames or more are too few for kinds 5"):
        kinds_of(paths[:2], 5)
