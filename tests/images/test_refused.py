"""Words by which docs/own-images.md says that files are refused are words of the program."""

import ast
import re
from pathlib import Path

import pytest

import mcevae

PAGE = Path(__file__).parents[2] / "docs" / "own-images.md"
HOLE = "\0"
"""In place of what a sentence has from the file."""


def rows() -> list[str]:
    """The words of every row of the table."""
    text = PAGE.read_text("utf-8").split("| what | words |")[1].split("\n\n")[0]
    found = [line.split("|")[2].strip() for line in text.strip().splitlines()[1:]]
    return [part.strip() for words in found for part in words.split("; ")]


def sentences() -> str:
    """All texts of the program, with holes."""
    found = []
    for path in Path(mcevae.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    str(one.value) if isinstance(one, ast.Constant) else HOLE for one in node.values
                )
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


SAID = sentences()


def pattern_of(words: str) -> str:
    """The words with anything in place of ... and of numbers."""
    parts = re.split(r"\.\.\.|\d[\d,]*", words)
    return f"[^\n]*?(?:{HOLE}|[\\d,]+)?[^\n]*?".join(map(re.escape, parts))


@pytest.mark.parametrize("words", rows())
def test_words_of_the_table_occur(words: str) -> None:
    assert re.search(pattern_of(words), SAID), words


def test_other_words_would_be_found() -> None:
    assert len(rows()) > 30
    assert not re.search(pattern_of("holds 3 green cheeses"), SAID)
