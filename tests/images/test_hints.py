"""Tables of hints: what they may look like, and what they may not say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mcevae.base.errors import UserError
from mcevae.images.arrays import NO_HINT, Images
from mcevae.images.hints import of_labels, read_hints, to_front

NAMES = ("a/1.png", "a/2.png", "b/1.png", "b/3.png", "c.png", "d.png")


def images(names: tuple[str, ...] | None = NAMES, first: int = 0, count: int = 6) -> Images:
    return Images(
        name="source",
        pixels=torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16),
        names=None if names is None else np.array(names),
        places=first + np.arange(count),
    )


def hints_of(folder: Path, text: str, *parts: Images) -> list[Images]:
    (folder / "hints.csv").write_text(text)
    return read_hints(str(folder / "hints.csv"), parts or [images()])


def test_labels_number_components_in_their_order(tmp_path: Path) -> None:
    (found,) = hints_of(tmp_path, "file,label\n2.png,10\nb/1.png,9\nd,10\nc.png,\n")
    assert found.hints is not None and found.hints.names == ("9", "10")
    assert found.hints.of.tolist() == [NO_HINT, 1, 0, NO_HINT, NO_HINT, 1]
    assert found.hints.labelled().tolist() == [1, 2, 5]


def test_pairs_join_components_and_part_them(tmp_path: Path) -> None:
    text = "File;Same;Label;different\nc.png;d.png;;\nd.png;a/1.png;x;\n3.png;;;a/2.png\n"
    (found,) = hints_of(tmp_path, text)
    assert found.hints is not None and found.hints.names == ("x",)
    of = found.hints.of.tolist()
    assert of[0] == of[4] == of[5] == 0 and of[2] == NO_HINT
    assert {of[1], of[3]} == {1, 2} and found.hints.apart == ((1, 2),)


def test_images_without_names_are_known_by_their_numbers(tmp_path: Path) -> None:
    train, test = images(None), images(None, first=6, count=2)
    found = hints_of(tmp_path, "file,label\n3,round\n7,long\n", train, test)
    assert [one.hints.of.tolist() for one in found if one.hints] == [
        [NO_HINT, NO_HINT, NO_HINT, 1, NO_HINT, NO_HINT],
        [NO_HINT, 0],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nz.png,x\n", r"row 2 is about 'z.png', which is no image that can be used"),
        ("file,label\n1.png,x\n", r"row 2 is about '1.png', which is the name of several images"),
        ("file,same\nc.png,z.png\n", r"row 2 is about 'z.png'"),
        ("file,label\nc.png,x\nc.png,y\n", r"row 3 says 'y' of what is 'x' by row 2"),
        (
            "file,label,same\nc.png,x,\nd.png,y,\nc.png,,d.png\n",
            r"row 3 says 'y' of what is 'x' by row 2",
        ),
        (
            "file,same,different\nc.png,d.png,\nd.png,,c.png\n",
            r"row 3 says that two images differ, but by other rows they are alike",
        ),
        ("file,label\nc.png,x\nd.png,x\n", None),
        ("file,label,different\nc.png,x,\nd.png,x,c.png\n", r"row 3 says that two images differ"),
        ("name,label\nc.png,x\n", r"its first line must name the column file and one or more of"),
        ("file,kind\nc.png,x\n", r"its first line must name the column file"),
        ("", r"its first line must name the column file"),
        ("file,label\n", r"says nothing of any image"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str | None) -> None:
    if message is None:
        hints_of(tmp_path, text)
        return
    with pytest.raises(UserError, match=message):
        hints_of(tmp_path, text)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.csv: cannot be read as a table of hints"):
        read_hints(str(tmp_path / "none.csv"), [images()])


def test_hinted_images_are_trained_on_and_not_scored(tmp_path: Path) -> None:
    train, test = images(None), images(None, first=6, count=2)
    parts = hints_of(tmp_path, "file,label\n3,round\n7,long\n", train, test)
    train, test = to_front(*parts)
    assert train.places is not None and test.places is not None
    assert train.places.tolist() == [3, 7, 0, 1, 2, 4, 5] and test.places.tolist() == [6]
    assert train.pixels[:, 0, 0, 0].tolist() == [3, 1, 0, 1, 2, 4, 5] and test.hints is None
    assert train.hints is not None and train.hints.rows().tolist() == [0, 1]
    every = hints_of(tmp_path, "file,label\n6,round\n7,long\n", images(None), parts[1])
    with pytest.raises(UserError, match="no images without hints left"):
        to_front(*every)


def test_what_is_left_of_hints_is_numbered_anew(tmp_path: Path) -> None:
    text = "file,label,different\nc.png,x,\nd.png,y,\na/2.png,,3.png\na/1.png,,d.png\n"
    (found,) = hints_of(tmp_path, text)
    assert found.hints is not None
    left = found.hints.subset(torch.tensor([5, 1, 3])).present()
    assert left is not None and left.names == ("y",) and left.of.tolist()[0] == 0
    assert set(left.of.tolist()) == {0, 1, 2} and left.apart == ((1, 2),)
    assert found.hints.subset(torch.tensor([2])).present() is None


def test_labels_in_memory_say_none_where_nothing_is_known() -> None:
    found = of_labels([None, 3, float("nan"), "", 1.0, None], images(None))
    assert found.hints is not None and found.hints.names == ("1", "3")
    assert found.hints.of.tolist() == [NO_HINT, 1, NO_HINT, NO_HINT, 0, NO_HINT]
    with pytest.raises(UserError, match="there are 2 for 6 images"):
        of_labels([1, 2], images(None))
    with pytest.raises(UserError, match="no image has one"):
        of_labels([None] * 6, images(None))
