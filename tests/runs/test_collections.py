"""Groups that people make: every image in one group, kept and read as they were."""

from pathlib import Path

import numpy as np
import pytest

from mcevae.base.errors import UserError
from mcevae.runs.collections import FILE, Collection, Collections

RNG = np.random.default_rng(0)
CLUSTER = np.repeat([0, 1, 2], 20)
Z = RNG.normal(size=(60, 3)).astype(np.float32)
Z[:10] += 9  # cluster 0 holds two kinds


def test_plain_groups_are_the_clusters() -> None:
    assert (Collections.plain(3).assign(CLUSTER, Z) == CLUSTER).all()


def test_a_merge_puts_images_together_and_a_split_of_it_apart_again() -> None:
    merged = Collections.plain(3).merged([2, 0])
    assert [group.name for group in merged.entries] == ["1", "2"]
    assert merged.assign(CLUSTER, Z).tolist() == [1] * 20 + [0] * 20 + [1] * 20
    apart = merged.split(1, CLUSTER, Z)
    assert [group.units for group in apart.entries] == [("1",), ("2",), ("0",)]


def test_a_split_finds_the_two_kinds_of_a_cluster_and_new_images_of_them() -> None:
    split = Collections.plain(3).split(0, CLUSTER, Z)
    found = split.assign(CLUSTER, Z)
    assert len(set(found[:10])) == len(set(found[10:20])) == 1 and found[0] != found[10]
    assert set(found[:20]) == {0, 1} and (found[20:] == CLUSTER[20:] + 1).all()
    again = split.assign(np.zeros(2, int), np.array([[9, 9, 9], [0, 0, 0]], np.float32))
    assert again.tolist() == [found[0], found[10]]
    third = split.split(int(found[10]), CLUSTER, Z)
    assert len(third.entries) == 5 and len(third.centres[0]) == 3
    assert (np.bincount(third.assign(CLUSTER, Z), minlength=5) > 0).all()


def test_groups_come_back_as_they_were_written(tmp_path: Path) -> None:
    made = Collections.plain(3).split(0, CLUSTER, Z).merged([1, 3]).renamed(0, " ein <b> Name ")
    made.write(tmp_path)
    read = Collections.read(tmp_path, 3)
    assert read.entries == made.entries and read.entries[0].name == "ein <b> Name"
    assert (read.assign(CLUSTER, Z) == made.assign(CLUSTER, Z)).all()
    assert Collections.read(tmp_path / "none", 3) == Collections.plain(3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 9, "clusters": 2, "groups": [], "centres": {}}',
        '{"format": 1, "clusters": 2, "groups": [{"name": "a", "units": ["0"]}], "centres": {}}',
        '{"format": 1, "clusters": 1, "groups": [{"name": "", "units": ["0"]}], "centres": {}}',
    ],
)
def test_a_label_file_that_does_not_fit_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="does not fit this run"):
        Collections.read(tmp_path, 2)


def test_what_cannot_be_is_refused() -> None:
    plain = Collections.plain(3)
    with pytest.raises(ValueError, match="no group 7"):
        plain.renamed(7, "a")
    with pytest.raises(ValueError, match="two groups"):
        plain.merged([1])
    with pytest.raises(ValueError, match="group 0 is given twice"):
        plain.merged([0, 0, 1])
    with pytest.raises(ValueError, match="printable"):
        plain.renamed(0, "a\nb")
    with pytest.raises(ValueError, match="differ in z"):
        plain.split(0, CLUSTER, np.zeros_like(Z))
    with pytest.raises(ValueError, match="one group"):
        Collections(clusters=2, entries=(Collection(name="a", units=("0", "0", "1")),))


def test_ids_stay_and_versions_change() -> None:
    plain = Collections.plain(3)
    named = plain.renamed(1, "x")
    assert [one.id for one in named.entries] == [one.id for one in plain.entries] == ["0", "1", "2"]
    assert plain.version != named.version and named.version == plain.renamed(1, "x").version
    merged = named.merged([named.identified("2"), named.identified("0")])
    assert [one.id for one in merged.entries] == ["1", "2"]
    with pytest.raises(ValueError, match="no group with the id 0; there are 1, 2"):
        merged.identified("0")
