"""Splitting a group by the map and by the pose: which images go, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mcevae.pages.explorer import Explorer
from mcevae.pages.splitting import posed
from mcevae.runs.symmetry import Symmetry
from tests.conftest import regrouped


@pytest.fixture
def largest(named: TestClient, explorer: Explorer) -> str:
    """The id of the largest group."""
    return max(explorer.groups()["groups"], key=lambda one: one["size"])["id"]


def members(explorer: Explorer, name: str) -> list[int]:
    found, groups = explorer.gallery, explorer.collections
    of = groups.assign(found.cluster, found.z, found.names)
    return np.flatnonzero(of == groups.named(name)).tolist()


def put(explorer: Explorer, group: str, few: Any, by: str) -> list[int]:
    """Lay every third image of a group elsewhere, on the map or by rotation; their numbers."""
    apart = members(explorer, group)[::3]
    found = explorer.gallery
    where, pose = np.full_like(found.where, 0.2), np.zeros_like(found.pose)
    where[apart] = 0.9
    pose[:, 0] = np.where(np.arange(len(pose)) % 2, 2, -2)
    pose[apart, 0] = few
    pose[:, 1] = np.random.default_rng(0).normal(size=len(pose))
    explorer.gallery = replace(found, **({"where": where} if by == "map" else {"pose": pose}))
    return apart


@pytest.mark.parametrize("by", ["map", "pose"])
def test_the_smaller_half_goes_to_a_new_group(
    named: TestClient, explorer: Explorer, largest: str, by: str
) -> None:
    start = explorer.collections
    whole = members(explorer, largest)
    turns = np.where(np.arange(len(whole[::3])) % 2, 178, -178)  # 4 degrees from each other
    apart = put(explorer, largest, turns, by)
    answer = regrouped(named, "split", group=largest, by=by)
    assert answer.status_code == 200 and answer.json()["undo"] == 1
    assert members(explorer, f"{largest} b") == apart
    assert members(explorer, f"{largest} a") == sorted({*whole} - {*apart})
    assert explorer.collections.centres == start.centres  # nothing is said of other images
    again = regrouped(named, "split", group=explorer.collections.entries[-1].id, by=by)
    assert again.status_code == {"map": 422, "pose": 200}[by]  # there, all are at one place
    while explorer.groups()["undo"]:
        regrouped(named, "undo")
    assert explorer.collections == start


def test_poses_are_compared_up_to_symmetry(explorer: Explorer) -> None:
    found = explorer.gallery
    twice = Symmetry(order=(2,) * found.clusters, consistency=(1.0,) * found.clusters)
    pose = found.pose.copy()
    pose[0] = [89, 0, 0]
    pose[1] = [-91, 0, 0]
    changed = replace(found, pose=pose, frames=replace(found.frames, symmetry=twice))
    rows = posed(changed, explorer.collections, np.arange(600))
    assert np.allclose(rows[0], rows[1], atol=1e-4)
    assert np.allclose(rows[:, :2].var(0).sum(), 1) and np.allclose(rows[:, 2:].var(0), 1)


def test_what_cannot_be_split_is_refused(
    named: TestClient, explorer: Explorer, largest: str
) -> None:
    put(explorer, largest, 0, "map")
    explorer.gallery = replace(explorer.gallery, where=np.zeros_like(explorer.gallery.where))
    same = regrouped(named, "split", group=largest, by="map")
    assert same.status_code == 422 and "other places on the map" in same.json()["detail"]
    assert regrouped(named, "split", group=largest, by="colour").status_code == 422
    explorer.gallery = replace(explorer.gallery, names=None)
    nameless = regrouped(named, "split", group=largest, by="pose")
    assert nameless.status_code == 422 and "have no names" in nameless.json()["detail"]
