"""`mcevae fit --from`: runs that are made from some images of other runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from mcevae.base.choosing import Choice, Keeping
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images.kept import are_kept, as_text, from_text, only_kept
from mcevae.images.loading import load
from mcevae.models.config import Config
from mcevae.predicting.deciding import Decision
from mcevae.run import open_run
from mcevae.runs.parents import FILE, parents_of
from tests.cli.test_cli import fails

QUICK = ["--quick", "--restarts", "1"]


def rows_of(table: Path) -> Any:
    return parquet.read_table(table).to_pandas()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 240 digits in files, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "images").mkdir()
    for i, image in enumerate(load("mnist-mini").train.pixels[:240, 0].numpy()):
        Image.fromarray(image).save(folder / "images" / f"{i:03}.png")
    (folder / "images" / "007.png").write_bytes(b"no picture")
    fit = ["fit", str(folder / "images"), "--out", str(folder / "run"), "--clusters", "4"]
    main([*fit, *QUICK])
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy, so that decisions can be kept in it."""
    return shutil.copytree(made, tmp_path / "run")


def test_junk_is_left_out_and_tables_keep_all_levels(run: Path, tmp_path: Path) -> None:
    main(["groups", str(run), "--rename", "1", "loops"])
    junk = [f"{i:03}.png" for i in range(20)]
    open_run(run).decide(junk[:7] + junk[8:], Decision(mark="junk"))
    child, grandchild = tmp_path / "child", tmp_path / "grandchild"
    main(["fit", "--from", str(run), "--without", "0", "--out", str(child), "--restarts", "1"])

    before = open_run(run).select(Choice(junk="too")).rows.to_pandas().set_index("file")
    wanted = before[before["kept"] & (before["group"] != "0")]
    config = Config.read(child / "settings.toml")
    assert (config.preset, config.model.clusters) == ("quick", 3)
    shown = rows_of(child / "images.parquet")
    assert sorted(shown["file"]) == sorted(wanted.index)
    assert (shown["parent_1"] == wanted["group"][shown["file"]].to_numpy()).all()
    assert "loops" in set(shown["parent_1"])
    assert set(open_run(child).select().names) == set(wanted.index)
    assert sum(one.images for one in open_run(child).averages()) == len(wanted)

    # What the parent was not trained on, the child is not trained on either.
    split = rows_of(run / "images.parquet").set_index("file")["split"]
    assert (shown["split"] == split[shown["file"]].to_numpy()).all()

    first = ["fit", "--from", str(child), "--keep", "0", "2", "--clusters", "2"]
    main([*first, "--out", str(grandchild), "--restarts", "1"])
    own = open_run(grandchild).select().rows.to_pandas()
    assert set(own["parent_2"]) == {"0", "2"} and set(own["parent_1"]) <= {"loops", "2", "3"}
    assert own["file"].isin(wanted.index).all()
    assert [Path(one.run).name for one in parents_of(grandchild)] == ["run", "child"]
    page = (grandchild / "report.html").read_text()
    assert 'data-parent="2"' in page and "no junk, groups 0, 2" in page


def test_tables_of_the_own_source_have_the_levels_and_others_do_not(
    run: Path, tmp_path: Path
) -> None:
    child, table = tmp_path / "child", tmp_path / "table.parquet"
    main(["fit", "--from", str(run), "--keep", "2", "3", "--out", str(child), "--restarts", "1"])
    opened, source = open_run(child), run.parent / "images"
    config = Config.read(run / "settings.toml")
    rows = opened.table(config.data.source, table)
    assert rows.rows == 239
    found = rows_of(table)
    kept = set(opened.select().names)
    assert found["parent_1"].notna().tolist() == [name in kept for name in found["file"]]
    shutil.copytree(config.data.source, source)
    opened.table(source, tmp_path / "other.csv")
    assert "parent_1" not in (tmp_path / "other.csv").read_text().splitlines()[0]


def test_one_group_is_split_into_a_number_that_is_found(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    largest = rows_of(run / "images.parquet")["group"].mode()[0]
    child, split = tmp_path / "child", ["fit", "--from", str(run), "--split-group", largest]
    main([*split, "--out", str(child), "--restarts", "1"])
    assert Config.read(child / "settings.toml").model.clusters == "auto"
    assert open_run(child).clusters >= 2
    rows = open_run(child).select().rows.to_pandas()
    assert set(rows["parent_1"]) == {largest} and rows["group"].nunique() >= 2
    assert set(rows["file"]) == set(open_run(run).select(Choice(keep=(largest,))).names)
    said = fails(capsys, *split, "--without", "0", "--out", str(tmp_path / "other"))
    assert f"--split-group {largest} keeps this group alone; leave out --keep" in said
    said = fails(capsys, "fit", "digits", "--split-group", "1", "--out", str(tmp_path / "x"))
    assert "needs the run that knows them; give it with --from" in said


def test_built_in_sets_are_kept_by_their_places(tmp_path: Path) -> None:
    run, child = tmp_path / "run", tmp_path / "child"
    small = ["--limit", "300", "--clusters", "3", "--restarts", "1"]
    main(["fit", "digits", "--quick", *small, "--out", str(run)])
    main(["fit", "--from", str(run), "--keep", "1", "--clusters", "2", "--out", str(child)])
    data, old = open_run(child).data(), open_run(run).data()
    places, before, test = (one.images.places for one in (data.train, old.train, data.test))
    assert places is not None and before is not None and test is not None
    same = old.train.subset(torch.from_numpy(np.flatnonzero(np.isin(before, places))))
    assert (same.images.pixels == data.train.images.pixels).all()  # moved as they were
    assert len(data.test) < len(old.test) and (test >= 1437).all()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep", "9"], "there is no group 9; there are 0, 1, 2, 3"),
        (["--selection", "good"], "there is no selection good; none was kept yet"),
        (["--confidence", "2", "3"], "no image is kept, so there is nothing to train on"),
        (["--text", "001"], "too few; keep more images"),
        (["--settings", "a.toml"], "--from takes the settings of a run; leave out --settings"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    said = fails(capsys, "fit", "--from", str(run), "--out", str(tmp_path / "child"), *flags)
    assert message in said


def test_other_sources_and_keeping_of_nothing_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "child")]
    said = fails(capsys, "fit", "mnist-mini", "--from", str(run), *out)
    assert "takes the images of that run" in said and "leave out the source" in said
    said = fails(capsys, "fit", "mnist-mini", "--keep", "1", *out)
    assert "(no junk, groups 1) needs the run that knows them; give it with --from" in said
    said = fails(capsys, "fit", "--from", str(tmp_path / "none"), *out)
    assert "none" in said and "cannot read settings" in said


def test_kept_images_are_packed_and_damage_is_refused() -> None:
    kept = np.random.default_rng(0).random(1003) < 0.3
    text = as_text(kept)
    assert (from_text(text) == kept).all()
    assert are_kept(text, np.array([0, 1002, 1003, 5000])).tolist() == [kept[0], kept[1002], 0, 0]
    assert list(only_kept(text, range(1010))) == np.flatnonzero(kept).tolist()
    count, _, bits = text.partition(":")
    for wrong in ("", "x", f"{2**40}:{bits}", f"5000:{bits}", f"{count}:{bits[:20]}", "8:####"):
        with pytest.raises(UserError, match="is damaged"):
            from_text(wrong)
    with pytest.raises(UserError, match=r"write them as a list with `mcevae select`"):
        as_text(np.random.default_rng(0).random(2**22) < 0.5)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(count=10**12),
        lambda one: one.update(count=3),
        lambda one: one.update(count=10**6),
        lambda one: one.update(groups=one["groups"][:1]),
        lambda one: one.update(groups=["\x00"] * 4),
        lambda one: one.update(of="####"),
        lambda one: one.update(images=-1),
        lambda one: one.pop("run"),
    ],
)
def test_damaged_parents_are_refused(
    run: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    from mcevae.predicting.family import family_of
    from mcevae.runs.parents import write_parents

    write_parents(run, family_of(open_run(run), Keeping()).parents)
    (parent,) = parents_of(run)
    assert len(parent.of) == 240 and parent.of[7] == -1 and parent.taken == 239
    content = json.loads((run / FILE).read_text())
    change(content["parents"][0])
    (run / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"parents.json: cannot be read"):
        parents_of(run)


def test_a_link_is_no_record_of_parents(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"format": 1, "parents": []}')
    (run / FILE).symlink_to(tmp_path / "secret.json")
    with pytest.raises(UserError, match="is a link"):
        parents_of(run)


def test_images_without_a_place_in_a_parent_have_no_group(run: Path) -> None:
    from mcevae.predicting.family import family_of

    (parent,) = family_of(open_run(run), Keeping()).parents
    column = parent.column(np.array([0, 7, 10**6]))
    assert column.type == pa.string() and column.null_count == 2


def test_rounds_throw_away_what_looks_like_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = load("mnist-mini").train.pixels[:300, 0].numpy()
    noise = np.random.default_rng(0).integers(0, 255, (6, 28, 28)).astype(np.uint8)
    (tmp_path / "images").mkdir()
    for i, image in enumerate(np.concatenate([digits, noise])):
        Image.fromarray(image).save(tmp_path / "images" / f"{i:03}.png")
    out = tmp_path / "rounds"
    fit = ["fit", str(tmp_path / "images"), "--clusters", "4", "--rounds", "3", "--out", str(out)]
    main([*fit, *QUICK])
    first, second = out / "round-1", out / "round-2"
    junk = set(open_run(first).select(Choice(junk="only")).names)
    assert {f"{i}.png" for i in range(300, 306)} <= junk and len(junk) < 20
    left = set(open_run(second).select(Choice(junk="too")).names)
    assert left == {path.name for path in (tmp_path / "images").iterdir()} - junk
    said = capsys.readouterr().out
    assert f"{len(junk)} images look like nothing else, and are junk now" in said
    assert "Round 2 of 3" in said
    assert "Round 3 of 3" in said or "is junk, so there are no more rounds" in said


def test_another_preset_takes_images_poses_and_clusters(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mcevae.cli.again import defaults_from

    old, new = Config.read(run / "settings.toml"), defaults_from(run, "paper")
    assert new.preset == "paper" and new.data == old.data and new.support == old.support
    assert new.model.clusters == 4 and new.train.epochs == 60
    (run / "settings.toml").write_text(old.changed(model={"clusters": "auto"}).to_toml())
    out = ["--out", str(tmp_path / "child")]
    said = fails(capsys, "fit", "--from", str(run), "--preset", "vae", *out)
    assert "--preset vae does not fit" in said and "lacks --clusters auto" in said


def test_numbers_of_rounds_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for rounds in ("0", "21"):
        said = fails(capsys, "fit", "digits", "--rounds", rounds, "--out", str(tmp_path / "run"))
        assert f"--rounds is {rounds}; use 1 to 20" in said
