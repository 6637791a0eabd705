"""What people say about single images: kept and read as it was, and gone when it is taken back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcevae.base.errors import UserError
from mcevae.pages import history as history_module
from mcevae.pages.history import History
from mcevae.predicting.deciding import Decision
from mcevae.runs.collections import FILE, Collections
from mcevae.runs.decisions import MOST_TAGS, Decisions

CLUSTER = np.repeat([0, 1, 2], 20)
Z = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
NAMES = [f"{i}.png" for i in range(60)]


def said(old: Collections, decisions: Decisions) -> Collections:
    return replace(old, decisions=decisions)


def action(old: Collections, rng: np.random.Generator) -> Collections:
    """Any change that people can make, the same for the same state of the generator."""
    some = rng.choice(NAMES, 5, replace=False).tolist()
    index = int(rng.integers(len(old.entries)))
    unit = old.entries[index].id
    others = [int(i) for i in rng.permutation(len(old.entries))[:2]]
    does = [
        lambda: old.renamed(index, f"name {rng.integers(10**9)}"),
        lambda: old.merged(others) if len(others) > 1 else old,
        lambda: old.split(index, CLUSTER, Z),
        lambda: old.turned(index, 15.0),
        lambda: old.flipped(index),
        lambda: old.judged(index, not old.entries[index].junk),
        lambda: old.said(old.decisions.moved(some, unit)),
        lambda: Decision(new=f"new {rng.integers(10**9)}").made(old, some),
        lambda: said(old, old.decisions.judged(some, bool(rng.integers(2)))),
        lambda: said(old, old.decisions.tagged(some, f"tag {rng.integers(5)}")),
        lambda: said(old, old.decisions.selected(f"some {rng.integers(9)}", some)),
    ]
    try:
        return does[int(rng.integers(len(does)))]()
    except ValueError as error:  # a group too small to be split, or made by hand
        assert "split" in str(error) or "made by hand" in str(error)
        return old


def test_200_actions_are_kept_as_they_are_and_every_image_stays_in_one_group(
    tmp_path: Path,
) -> None:
    rng, made = np.random.default_rng(1), Collections.plain(3)
    for _ in range(200):
        made = action(made, rng)
        of = made.assign(CLUSTER, Z, NAMES)
        assert np.bincount(of, minlength=len(made.entries)).sum() == 60
    made.write(tmp_path)
    read = Collections.read(tmp_path, 3)
    assert read.version == made.version
    assert (read.assign(CLUSTER, Z, NAMES) == made.assign(CLUSTER, Z, NAMES)).all()
    of = made.assign(CLUSTER, Z, NAMES)
    assert (read.junk_in(of, NAMES) == made.junk_in(of, NAMES)).all()


def test_200_actions_are_undone_to_the_start_and_made_again() -> None:
    rng, history = np.random.default_rng(2), History()
    made = [Collections.plain(3)]
    while len(made) < 201:
        new = action(made[-1], rng)
        if new != made[-1]:
            history.add(made[-1])
            made.append(new)
    now = made[-1]
    for old in reversed(made[:-1]):
        now = history.step(now, back=True)
        assert now.version == old.version
    with pytest.raises(ValueError, match="no change to undo"):
        history.step(now, back=True)
    for new in made[1:]:
        now = history.step(now, back=False)
        assert now.version == new.version
    with pytest.raises(ValueError, match="no change to redo"):
        history.step(now, back=False)


def test_a_new_change_ends_what_could_be_made_again() -> None:
    history, first = History(), Collections.plain(3)
    second = first.renamed(0, "a")
    history.add(first)
    assert history.step(second, back=True) == first
    history.add(first)
    assert not history.future


def test_fewer_changes_are_undone_where_much_is_said_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "MARKS", 45)
    history, made = History(), Collections.plain(3)
    for count in range(1, 60):
        history.add(made)
        made = said(made, Decisions().judged(NAMES[:10], count % 2 > 0))
    assert len(history.past) == 4  # with 10 images each
    for name in ("a", "b", "c"):
        history.add(made)
        made = made.renamed(0, name)
    assert len(history.past) == 6  # the last three share what is said of images
    history.add(said(made, Decisions().judged(NAMES[:50], True)))
    assert len(history.past) == 1


def test_moved_images_follow_their_group_and_other_images_are_not_moved() -> None:
    moved = said(Collections.plain(3), Decisions().moved(["0.png"], "2"))
    assert moved.assign(CLUSTER, Z, NAMES)[0] == 2
    assert moved.assign(CLUSTER, Z)[0] == 0
    merged = moved.merged([1, 2]).renamed(1, "both")
    assert merged.assign(CLUSTER, Z, NAMES)[0] == 1
    parts = moved.split(2, CLUSTER, Z)
    assert parts.entries[parts.assign(CLUSTER, Z, NAMES)[0]].units == ("2.0",)


def test_what_is_said_of_an_image_wins_over_its_group() -> None:
    made = Collections.plain(3).judged(0, True)
    made = said(made, Decisions().judged(["0.png"], False).judged(["40.png"], True))
    junk = made.junk_in(made.assign(CLUSTER, Z, NAMES), NAMES)
    assert junk.tolist() == [False] + [True] * 19 + [False] * 20 + [True] + [False] * 19


def test_a_group_made_by_hand_holds_what_is_moved_there_and_goes_with_its_last_image(
    tmp_path: Path,
) -> None:
    start = Collections.plain(3)
    made = Decision(new="odd ones", tag="seen").made(start, ["0.png", "59.png"])
    assert made.entries[-1].units == ("+1",) and made.made == ("+1",)
    of = made.assign(CLUSTER, Z, NAMES)
    assert np.flatnonzero(of == 3).tolist() == [0, 59]
    assert (made.assign(CLUSTER, Z) == CLUSTER).all()  # other images: none is in it
    made.write(tmp_path)
    assert Collections.read(tmp_path, 3).version == made.version
    for change in (lambda: made.split(3, CLUSTER, Z), lambda: made.turned(3, 15.0)):
        with pytest.raises(ValueError, match="made by hand"):
            change()
    back = Decision(move="0").made(made, ["0.png", "59.png"])
    assert back.entries == start.entries and not back.made
    assert made.merged([3, 0]).assign(CLUSTER, Z).tolist() == [2] * 20 + [0] * 20 + [1] * 20
    with pytest.raises(ValueError, match="two groups are called"):
        Decision(new="odd ones").made(made, ["1.png"])
    with pytest.raises(ValueError, match="one group"):
        Decision(new="other", move="0").made(made, ["1.png"])


@pytest.mark.parametrize("made", ['["3"]', '["+1"]', '["+0"]', '["+1", "+1"]', "7"])
def test_damaged_groups_made_by_hand_are_refused(tmp_path: Path, made: str) -> None:
    text = Collections.plain(2).to_json().rstrip()[:-1]
    (tmp_path / FILE).write_text(f'{text}, "made": {made}}}')
    with pytest.raises(UserError, match="does not fit this run"):
        Collections.read(tmp_path, 2)


def test_what_is_taken_back_leaves_nothing() -> None:
    made = Decisions().judged(NAMES, True).moved(NAMES, "1").tagged(NAMES, "a").selected("s", NAMES)
    back = made.judged(NAMES, None).moved(NAMES, None).tagged(NAMES, "a", on=False)
    assert back.selected("s", []) == Decisions()


@pytest.mark.parametrize(
    "decisions",
    [
        '{"images": []}',
        '{"images": {"a": {"junk": 7}}}',
        '{"images": {"a": {"unit": 3}}}',
        '{"images": {"a": {"unit": "9"}}}',
        '{"images": {"": {"junk": true}}}',
        '{"images": {"a": {"tags": ["x", "x"]}}}',
        '{"images": {"a": {"tags": ["x; y"]}}}',
        '{"images": {"a": {"tags": ["\\n"]}}}',
        '{"selections": {"": ["a"]}}',
    ],
)
def test_damaged_decisions_are_refused(tmp_path: Path, decisions: str) -> None:
    text = Collections.plain(2).to_json().rstrip()[:-1]
    (tmp_path / FILE).write_text(f'{text}, "decisions": {decisions}}}')
    with pytest.raises(UserError, match="does not fit this run"):
        Collections.read(tmp_path, 2)


def test_too_many_tags_are_refused() -> None:
    made = Decisions()
    with pytest.raises(ValueError, match="tags"):
        for i in range(MOST_TAGS + 1):
            made = made.tagged(["a"], str(i))
