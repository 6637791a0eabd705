"""`mcevae extend`: new images for a run, in which old groups keep their numbers and names."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from mcevae.base.choosing import Choice
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images.arrays import Images
from mcevae.images.blocks import images_in
from mcevae.images.loading import load
from mcevae.images.splits import split_blocks, split_images
from mcevae.models.config import PRESETS, Config
from mcevae.models.registry import build
from mcevae.models.takeover import take_over
from mcevae.predicting import extended as extended_words
from mcevae.predicting.added import Added
from mcevae.predicting.deciding import Decision
from mcevae.predicting.extended import in_words, trust_told, with_new
from mcevae.predicting.extending import Extension, extension_of
from mcevae.predicting.family import Family
from mcevae.run import Run, open_run
from mcevae.runs import checkpoint
from mcevae.runs import run as module_of_run
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.infer import embed
from mcevae.runs.parents import Parent, parents_of
from mcevae.runs.trust.trust import by_these_weights, word
from mcevae.training.given import FILE, Given
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from tests.cli.test_cli import fails
from tests.sizes import taught

KNOWN, NEW = (0, 1, 4), 3
"""Digits of the run, and the one that only new images show."""


def save(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


def trained(config: Config, run: Path) -> Run:
    """A run without calibration and report, which take most of the time."""
    config = settle(config)
    fit(config, prepare_for(config), run)
    return open_run(run)


def extended(run: Path, source: Path | str, out: Path, **more: Any) -> tuple[Run, Extension]:
    """A run with new images, without calibration and report."""
    out.mkdir()
    extension = extension_of(open_run(run), Added(source=str(source), **more), out)
    extension.begin(out)
    if extension.trains:
        fit(extension.config, extension.data, out)
    return open_run(out), extension


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 120 digits of three kinds, and new images, of which 40 are of a fourth kind."""
    folder = tmp_path_factory.mktemp("extend")
    digits = load("mnist-mini").train
    assert digits.labels is not None
    pixels, kind = digits.pixels[:, 0].numpy(), digits.labels.numpy()
    known = pixels[np.isin(kind, KNOWN)]
    save(folder / "old", known[:120])
    save(folder / "more", np.concatenate([known[120:140], pixels[kind == NEW][:40], known[:5]]))
    (folder / "more" / "broken.png").write_bytes(b"no picture")
    config = PRESETS["quick"]().changed(
        data={"source": str(folder / "old")}, model={"clusters": 3}, start={"restarts": 1}
    )
    run = trained(config, folder / "run")
    run.calibrate(run.data())
    run.decide(["003.png", "004.png"], Decision(mark="junk", save="odd"))
    run.regroup(run.collections.renamed(1, "loops"))
    return folder


@pytest.fixture(scope="module")
def both(made: Path) -> Path:
    """The run with the new images."""
    main(["extend", str(made / "run"), str(made / "more"), "--out", str(made / "both")])
    return made / "both"


def test_new_kinds_are_new_groups_and_old_groups_keep_number_and_name(
    made: Path, both: Path
) -> None:
    new = open_run(both)
    assert new.clusters == 4 and Config.read(both / "settings.toml").model.clusters == 4
    assert [one.name for one in new.collections.entries] == ["0", "loops", "2", "3"]
    before = open_run(made / "run").select(Choice(junk="too")).rows.to_pandas().set_index("file")
    after = new.select(Choice(junk="too")).rows.to_pandas()
    after["name"] = after["file"].str.rpartition("/")[2]
    is_new = after["file"].str.startswith("more/")
    known, fresh = after[~is_new].set_index("name"), after[is_new]
    assert len(known) == 120 and len(fresh) == 60
    assert (known["cluster"] == before["cluster"][known.index]).mean() > 0.95
    # The first 20 of the new images show what is known, the others a new kind.
    assert ((fresh["cluster"] == 3) == (fresh["name"] >= "020.png")).mean() > 0.9


def test_trust_is_told_as_it_was_and_as_it_is(
    made: Path, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, now = open_run(made / "run"), open_run(both)
    assert before.trust is not None and now.trust is not None
    stale = replace(before.trust, clusters=(0.0,) * 3)  # as other weights may have told it
    then, trust = by_these_weights(stale), now.trust
    assert then.clusters == pytest.approx(before.trust.clusters, abs=2e-3)
    said = trust_told(before, now)
    assert said[0].startswith(f"Trust: {then.run:.2f} ({word(then.run)}) before, {trust.run:.2f} (")
    assert f"Trust in group 3, which is new: {trust.clusters[3]:.2f} " in " ".join(said)
    monkeypatch.setattr(extended_words, "CHANGED", 0.0)
    assert [line.partition(":")[0] for line in trust_told(before, now)[1:]] == [
        *("Trust in group 0", "Trust in group loops", "Trust in group 2"),
        "Trust in group 3, which is new",
    ]
    same = trust_told(before, before)
    assert len(same) == 4
    monkeypatch.setattr(extended_words, "CHANGED", 0.05)
    assert len(trust_told(before, before)) == 1  # no group has changed


def test_trust_looks_at_old_and_new_images(
    made: Path, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = open_run(both), []
    data = run.data()
    monkeypatch.setattr(module_of_run, "trust_in", lambda *given: seen.append(given[2]))
    monkeypatch.setattr(Calibration, "write", lambda *_: None)
    run.calibrate(data)
    pixels = data.train.images.pixels
    rows = {bytes(one.numpy()): i for i, one in enumerate(pixels)}
    order = [rows[bytes(one.numpy())] for one in seen[0]]
    assert sorted(order) == list(range(len(pixels)))
    new = data.train.images.places >= 120
    assert 10 < new[order[: len(order) // 2]].sum() < new.sum() - 10


def test_what_the_run_before_said_is_kept(both: Path) -> None:
    run = open_run(both)
    junk = run.select(Choice(junk="only")).names
    assert sorted(junk) == ["003.png", "004.png"]
    assert run.select(Choice(selection="odd", junk="too")).names == junk
    (parent,) = parents_of(both)
    assert (parent.images, parent.taken) == (120, 120) and "with 60 new images" in parent.chosen
    table = parquet.read_table(both / "images.parquet").to_pandas()
    is_new = table["file"].str.startswith("more/")
    assert table["parent_1"].isna().tolist() == is_new.tolist()
    assert set(table["parent_1"].dropna()) == {"0", "loops", "2"}
    assert 'data-parent="1"' in (both / "report.html").read_text()


def test_parts_stay_as_they_are_and_copies_are_left_out(made: Path, both: Path) -> None:
    old, new = open_run(made / "run").data(), open_run(both).data()
    for part in ("train", "validation", "test"):
        before, after = getattr(old, part).images, getattr(new, part).images
        assert torch.equal(after.pixels[: len(before)], before.pixels)
        assert len(after) > len(before)
    assert sum(len(part) for part in (new.train, new.validation, new.test)) == 180
    assert "broken.png" in (both / "skipped.csv").read_text()


def test_without_a_new_kind_the_model_stays_and_a_run_can_be_extended_twice(
    made: Path, both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "report", lambda _: None)  # it takes seconds
    more = save(tmp_path / "more", np.full((1, 60, 40), 9, np.uint8))  # of another size
    for i in (5, 6):
        shutil.copy(made / "more" / f"{i:03}.png", more / f"again-{i}.png")
    old = open_run(made / "run")
    run = old.extend(more, tmp_path / "once")
    run.calibration = old.calibration  # of the same model
    said = in_words(run, run.data(), 120, 0)
    assert said.startswith("3 new images: 3 in the 3 groups there were. Outliers among them: ")
    weights = old.model.state_dict()
    assert all(torch.equal(one, weights[name]) for name, one in run.model.state_dict().items())
    twice, extension = extended(both, more, tmp_path / "twice")
    assert extension.copies == 2 and extension.images == 1
    assert extension.first == 186 and len(parents_of(twice.folder)) == 2
    names = {name for one in images_in(extension.data) for name in one.names.tolist()}
    assert "003.png" in names and "more/003.png" in names and "more-2/000.png" in names
    assert [one.name for one in twice.collections.entries] == ["0", "loops", "2", "3"]
    with pytest.raises(UserError, match="already exists; choose another folder"):
        twice.extend(more, tmp_path / "once")


def test_selections_find_the_files(both: Path, tmp_path: Path) -> None:
    main(["select", str(both), "--keep", "3", "--out", str(tmp_path / "new.txt")])
    listed = (tmp_path / "new.txt").read_text().splitlines()
    assert sum("/more/" in line for line in listed) > 30
    assert all(Path(line).is_file() for line in listed)


def test_what_cannot_be_added_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(made / "run"), tmp_path / "out"
    copies, bad = tmp_path / "copies", tmp_path / "bad"
    for folder in (copies, bad):
        folder.mkdir()
    shutil.copy(made / "old" / "001.png", copies / "other.png")
    (bad / "a.png").write_bytes(b"no picture")
    (tmp_path / "list.txt").write_text(f"{made / 'old' / '001.png'}\n")
    for source, message in (
        (made / "old", "is the source of"),
        (copies, "all of its images (1) are copies of images that the run has"),
        (tmp_path / "list.txt", "all of its images (1) are copies of images that the run has"),
        (bad, "no image can be used; "),
        ("digits", "has images of (channels, height, width) (1, 16, 16), but the run"),
        (tmp_path / "none", "there is no such file"),
    ):
        assert message in fails(capsys, "extend", run, str(source), "--out", str(out))
        assert not list(out.glob("*.json"))
    out.mkdir(exist_ok=True)
    (out / "mine.txt").write_text("mine")
    said = fails(capsys, "extend", run, str(made / "more"), "--out", str(out))
    assert "already exists" in said


def test_runs_of_other_presets_are_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"filters": (4, 4, 4, 4), "hidden": 8, "pose_hidden": 8, "decoder_hidden": 8}
    config = PRESETS["paper"]().changed(data={"source": str(made / "old")}, model=sizes)
    model = build(config, (1, 28, 28))
    tensors = {f"model.{name}": one for name, one in model.state_dict().items()}
    about = {"config": config.to_dict(), "shape": [1, 28, 28], "data": ""}
    (tmp_path / "run").mkdir()
    state = {**about, "position": {"epoch": 0, "step": 0}}
    checkpoint.save(tmp_path / "run" / "best.safetensors", tensors, state)
    out = ["--out", str(tmp_path / "out")]
    said = fails(capsys, "extend", str(tmp_path / "run"), str(made / "more"), *out)
    assert "is of preset paper, which cannot take new clusters" in said


def test_trained_runs_learn_new_kinds_from_their_weights(made: Path, tmp_path: Path) -> None:
    config = taught(source=str(made / "old"), limit=None, epochs=2)
    old = trained(config, tmp_path / "run")
    new, extension = extended(tmp_path / "run", made / "more", tmp_path / "out")
    assert extension.kinds == 1 and new.clusters == 4 and not (new.folder / FILE).exists()
    assert extension.config.train.epochs == 4
    train = extension.data.train.images
    assert train.places is not None
    before = torch.from_numpy(train.places < 120)
    cluster = [embed(run.model, train.pixels[before]).cluster for run in (old, new)]
    same = (cluster[0] == cluster[1]).float()
    assert same.mean() > 0.8


def test_weights_of_fewer_clusters_are_taken_over() -> None:
    sizes = {"rotations": 8, "variation": 3, "hidden": 16}
    config = taught().changed(model=sizes)
    old, new = (build(config.changed(model={"clusters": k}), (1, 16, 16)) for k in (2, 3))
    for one in old.parameters():
        one.data.fill_(7.0)
    weights = old.state_dict()
    copied = take_over(new, weights)
    grown = {name: one for name, one in new.named_parameters() if name in new.grows}
    assert len(grown) == 4
    for name, one in new.named_parameters():
        if name in grown:
            assert (one == 7).sum() == weights[name].numel() < one.numel()
        else:
            assert (one == 7).all()
    last, first = grown["net.last.bias"], grown["decoder.0.weight"]
    assert (last[:16] == 7).all() and (last[16:24] != 7).all() and (last[24:] == 7).all()
    assert (first[:, :2] == 7).all() and (first[:, 2] != 7).all() and (first[:, 3:] == 7).all()
    statistics = sum(weights[k].numel() for k in weights if "running" in k)
    assert copied == sum(one.numel() for one in old.parameters()) + statistics
    assert take_over(old, new.state_dict()) == copied  # of more clusters, as many as there are
    assert take_over(new, {"net.last.bias": torch.zeros(3, 3), "other": torch.zeros(1)}) == 0


def test_trainings_that_go_on_have_half_the_epochs() -> None:
    known = {"groups": 2, "parents": (), "weights": {}}
    of = np.zeros(100, int)
    parent = Parent(
        run="x", checkpoint="y", chosen="all", images=100, taken=100, groups=("0",), of=of
    )
    family = Family(kept="8:", preset="default", **{**known, "parents": (parent,)})
    usual = planned(Config(), 79).train.epochs
    assert family.settled(Config(), clusters=True).train.epochs == math.ceil(usual / 2)
    given = Config().changed(train={"epochs": 9})
    assert family.settled(given, clusters=True).train.epochs == 9
    assert family.settled(PRESETS["quick"](), clusters=True).train.epochs == "auto"


def test_blocks_are_split_by_themselves() -> None:
    pixels = torch.arange(103, dtype=torch.uint8)[:, None, None, None]
    every = Images(name="x", pixels=pixels, places=np.arange(103) * 2)
    first = every.subset(slice(70))
    old, new = split_images(first, None), split_blocks(every, None, "standard", (140, 200))
    for before, after in zip(old, new, strict=True):
        assert torch.equal(after.pixels[: len(before)], before.pixels)
    assert sum(map(len, new)) == 103
    assert {100, 101, 102} <= set(new[0].pixels.flatten().tolist())  # too few to be split
    assert torch.equal(split_blocks(first, None, "standard", ())[0].pixels, old[0].pixels)


def test_new_groups_get_names_that_nothing_else_has() -> None:
    made = with_new(Collections.plain(2).renamed(0, "2"), 2)
    assert [one.name for one in made.entries] == ["2", "1", "cluster 2", "3"]
    assert made.clusters == 4


def test_a_start_that_belongs_to_other_images_is_refused(made: Path, tmp_path: Path) -> None:
    config = settle(Config.read(made / "run" / "settings.toml"))
    data = prepare_for(config)
    n = len(data.train)
    for cluster, element in (
        (torch.zeros(n - 1).long(), torch.eye(3).repeat(n - 1, 1, 1)),
        (torch.zeros(n).long() - 1, torch.eye(3).repeat(n, 1, 1)),
        (torch.zeros(n).long(), torch.full((n, 3, 3), torch.nan)),
    ):
        (tmp_path / FILE).unlink(missing_ok=True)
        Given(cluster=cluster, element=element).write(tmp_path)
        with pytest.raises(UserError, match="does not fit this run"):
            fit(config, data, tmp_path)
