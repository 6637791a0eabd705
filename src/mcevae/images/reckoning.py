"""How many files were read, and why others were not."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mcevae.images.readers.frames import Fault, place_of

KIND, LINK, HIDDEN, ASIDE = "kind", "link", "hidden", "aside"
"""Why a file below a folder is passed over, in one word; see `Fault.passed`."""
ENDINGS = 6
"""Endings that are counted in words, the most frequent ones."""


def reckon(files: int, faults: Sequence[Fault]) -> str:
    """Say how many files were read, and count the others by reason and ending.

    Args:
        files: number of files that the source has, with those that are passed over.
        faults: what was passed over, or could not be used.

    Returns:
        One sentence: "read 24 of 144 files: 96 of kinds that are not read (.xyz 96), 24 behind a
        link". "" if every file was read.
    """
    passed = sum(bool(fault.passed) for fault in faults)
    whole = {file for file, numbered, _ in map(place_of, unused(faults)) if not numbered}
    if not passed and not whole:
        return ""
    reasons = [passed_in_words(faults)] if passed else []
    reasons += [f"{len(whole):,} that cannot be used"] if whole else []
    return f"read {files - passed - len(whole):,} of {files:,} files: {', '.join(reasons)}"


def unused(faults: Iterable[Fault]) -> list[Fault]:
    """The faults of what was looked at."""
    return [fault for fault in faults if not fault.passed]


def passed_in_words(faults: Sequence[Fault]) -> str:
    """Count what was passed over, by reason and ending: "96 of kinds that are not read (...)"."""
    counts = Counter(fault.passed for fault in faults)
    parts = []
    if counts[KIND]:
        endings = endings_in_words([fault.name for fault in faults if fault.passed == KIND])
        parts.append(f"{counts[KIND]:,} of kinds that are not read ({endings})")
    if counts[LINK]:
        parts.append(f"{counts[LINK]:,} behind a link")
    if counts[HIDDEN]:
        parts.append(f"{counts[HIDDEN]:,} hidden")
    if counts[ASIDE]:
        parts.append(f"{counts[ASIDE]:,} without a box or label image")
    return ", ".join(parts)


def endings_in_words(names: Sequence[str]) -> str:
    """Count names by their endings, the most frequent first."""
    counts = Counter(Path(name).suffix.lower() or "no ending" for name in names)
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    words = [f"{ending} {count:,}" for ending, count in most[:ENDINGS]]
    others = sum(count for _, count in most[ENDINGS:])
    return ", ".join([*words, f"others {others:,}"] if others else words)
