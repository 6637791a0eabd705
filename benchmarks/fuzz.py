"""Hostile files for every reader: images, files of runs, settings.

    python benchmarks/fuzz.py --target all --minutes 10 --folder FOLDER

Valid files are changed (`tests/mutations.py`) and read (`tests/hostile.py`) in a process that may
take 4 GiB more than it starts with; one file may take 20 seconds. What is neither read nor refused
in the way that it should be, takes longer or ends the process is a finding: it is printed, counted
in results/fuzz.json, and kept in FOLDER. With atheris (pip install atheris), files that reach new
code are changed further; without it, changes are drawn at random. Exit code 1 if anything was
found. Linux only.
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any

from common import RESULTS, write_results

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the property is shared with tests/images/test_hostile.py

IMAGES = ("pictures", "fields", "crops")
"""Rows of the files that images and their tables are read from, see `tests.hostile.family`."""
TARGETS = (*IMAGES, "runs", "settings")
LIBRARIES = ("mrcfile", "tifffile", "PIL", "astropy.io", "pydicom", "zarr")
"""What reads images, as far as it is Python, for atheris to look into."""
MEMORY = 4 * 2**30
"""Bytes that reading may take."""
PATIENCE = 20
"""Seconds that a file may take."""
FIT = """fit mnist-mini --limit 400 --epochs 4 --batch-size 50 --clusters 3 --angles 24
--variation 4 --hidden 32 --templates 8 --subset 300"""
"""A run that is trained in seconds."""


def command(*arguments: object) -> None:
    """A command of mcevae that must succeed."""
    subprocess.run([sys.executable, "-m", "mcevae", *map(str, arguments)], check=True)


def names_of(target: Any, row: str) -> list[str]:
    """The files of a target that are changed."""
    from tests.hostile import family

    return [name for name in target.seeds if row not in IMAGES or family(name) == row]


def target_of(name: str, folder: Path) -> Any:
    """The files and readers of a target; a small run is trained where one is needed."""
    from tests import hostile

    if name == "settings":
        return hostile.settings()
    made = folder / "valid"
    if name in IMAGES:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        return hostile.images(made)
    if not made.exists():
        from mcevae import MCEVAE

        command(*FIT.split(), "--out", made)
        scores = json.loads((made / "metrics.json").read_text())["scores"]
        largest = max(range(3), key=lambda k: scores[f"occupancy_{k}"]["value"])
        command("groups", made, "--split", largest)
        MCEVAE.from_pretrained(made).save_pretrained(made / "saved")
    return hostile.run_files(made, made / "saved")


class Harness:
    """Reads one hostile file after the other, and notes each before it does."""

    def __init__(self, name: str, folder: Path) -> None:
        """Prepare; memory is limited from now on."""
        self.folder, self.target = folder, target_of(name, folder)
        self.names = names_of(self.target, name)
        self.place = folder / "place"
        self.target.settle(self.place)
        self.seen: set[str] = set()
        self.count = os.open(folder / "count", os.O_RDWR | os.O_CREAT)
        self.form = f"{3 + len(self.names)}Q"
        size = struct.calcsize(self.form)
        kept = struct.unpack(self.form, os.pread(self.count, size, 0) or bytes(size))
        self.done, self.outcomes, self.each = kept[0], list(kept[1:3]), list(kept[3:])
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def __call__(self, packed: bytes) -> None:
        """Read a file: the first byte says which, the others are its content."""
        from tests.hostile import Broken

        if not packed:  # as libFuzzer starts
            return
        place = packed[0] % len(self.names)
        name, content = self.names[place], packed[1:]
        (self.folder / "now").write_text(name)
        (self.folder / "input").write_bytes(content)
        try:
            self.outcomes[self.target.check(self.place, name, content) == "refused"] += 1
        except Broken as error:
            self.keep(name, content, error)
        self.done += 1
        self.each[place] += 1
        os.pwrite(self.count, struct.pack(self.form, self.done, *self.outcomes, *self.each), 0)

    def keep(self, name: str, content: bytes, error: Exception) -> None:
        """Note a finding, the first of those that were raised at the same place."""
        frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
        own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "mcevae" in f.filename]
        where = f"{name} {type(error.__cause__).__name__} {' '.join(own[-2:])}"
        if where not in self.seen:
            self.seen.add(where)
            found(self.folder, name, content, str(error), where)

    def mutated(self, packed: bytes, random: Random) -> bytes:
        """The same file, changed."""
        from tests.mutations import mutated

        name = self.names[packed[0] % len(self.names)]
        made = mutated(name, packed[1:], random, list(self.target.seeds.values()))
        return packed[:1] + made

    def seeds(self) -> list[bytes]:
        """The valid files, packed."""
        return [bytes([i]) + self.target.seeds[name] for i, name in enumerate(self.names)]


def found(folder: Path, name: str, content: bytes, what: str, where: str) -> None:
    """Print and keep a finding."""
    kept = folder / "findings" / f"{blake2b(content, digest_size=6).hexdigest()}-{Path(name).name}"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(content)
    print(f"FOUND {where}: {what} ({kept})", flush=True)
    note = json.dumps({"file": name, "what": what, "where": where}) + "\n"
    with (folder / "findings.jsonl").open("a+") as file:
        file.seek(0)
        if note not in file.readlines():
            file.write(note)


def guided(harness: Harness, seed: int) -> None:
    """Change files as the code that they reach suggests, until the process is ended."""
    atheris = importlib.import_module("atheris")
    corpus = harness.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for i, packed in enumerate(harness.seeds()):
        (corpus / f"seed-{i}").write_bytes(packed)

    def change(packed: bytes, most: int, number: int) -> bytes:
        if not packed:
            packed = harness.seeds()[number % len(harness.names)]
        return harness.mutated(packed, Random(number))[:most]

    flags = ["-max_len=300000", f"-seed={seed + 1}", "-rss_limit_mb=0", "-detect_leaks=0"]
    quiet = ["-verbosity=0", "-print_final_stats=0", f"-artifact_prefix={harness.folder}/"]
    atheris.Setup([sys.argv[0], *flags, *quiet, str(corpus)], harness, custom_mutator=change)
    atheris.Fuzz()


def at_random(harness: Harness, seed: int) -> None:
    """Change valid files at random, until the process is ended."""
    random = Random(seed)
    while True:
        packed = random.choice(harness.seeds())
        for _ in range(random.choice((1, 1, 2, 4))):
            packed = harness.mutated(packed, random)
        harness(packed)


def engine() -> tuple[str, Callable[[Harness, int], None]]:
    """What changes files: atheris where it is installed."""
    try:
        return f"atheris {version('atheris')}", guided
    except PackageNotFoundError:
        return "random", at_random


def work(name: str, folder: Path, seed: int) -> None:
    """The process that reads."""
    label, fuzz = engine()
    if label != "random":
        atheris = importlib.import_module("atheris")
        with atheris.instrument_imports(include=["mcevae", *LIBRARIES]):
            from tests import hostile  # noqa: F401
    fuzz(Harness(name, folder), seed)


def watch(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Start processes that read, one after the other, until the time is up.

    Returns:
        Executions, outcomes and findings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in ("count", "findings.jsonl", "now"):
        (folder / old).unlink(missing_ok=True)
    names = names_of(target_of(name, folder), name)  # before the clock starts
    count, started, ended = folder / "count", time.monotonic(), 0
    while time.monotonic() - started < seconds:
        arguments = ("--target", name, "--folder", folder, "--worker", ended)
        worker = subprocess.Popen([sys.executable, __file__, *map(str, arguments)])
        before, since = b"", time.monotonic()
        starting = True
        begun = count.exists()
        while worker.poll() is None and time.monotonic() - started < seconds:
            time.sleep(0.5)
            now = count.read_bytes() if count.exists() else b""
            if now != before:
                before, since, starting = now, time.monotonic(), False
            if starting and not begun:
                started = time.monotonic()  # time to start is not time to read
            if time.monotonic() - since > PATIENCE * (30 if starting else 1):
                break
        in_time = time.monotonic() - started < seconds
        code = worker.poll()
        worker.kill()
        worker.wait()
        if in_time and (folder / "now").exists():
            what = f"ended the process ({code})" if code is not None else f"took > {PATIENCE} s"
            kind, content = (folder / "now").read_text(), (folder / "input").read_bytes()
            found(folder, kind, content, what, f"{kind} {what}")
            for one in (folder / "corpus").glob("*"):  # or the next process would end there, too
                if one.read_bytes()[1:] == content:
                    one.unlink()
            ended += 1
        elif in_time:
            raise SystemExit(f"{name}: the reading process does not start")
    done, read, refused, *each = struct.unpack(f"{3 + len(names)}Q", count.read_bytes())
    notes = folder / "findings.jsonl"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return {
        "target": name,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "executions": done,
        "read": read,
        "refused": refused,
        "processes_ended": ended,
        "files": dict(zip(names, each, strict=True)),
        "findings": [json.loads(line) for line in lines],
    }


def largest(folder: Path) -> dict[str, float]:
    """What the largest frame that is read takes: 10,000 x 10,000 with colours and opacity."""
    from PIL import Image

    path = folder / "largest.png"
    Image.new("RGBA", (10_000, 10_000), (10, 20, 30, 128)).save(path)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.hostile import PLAIN, frames_of\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "(frame,) = frames_of(Path(sys.argv[1]), 'largest.png'); PLAIN(frame)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    read = [sys.executable, "-c", code, str(path)]
    taken = subprocess.run(read, cwd=ROOT, check=True, capture_output=True, text=True)
    kib = 1 if sys.platform == "linux" else 1 / 1024  # what ru_maxrss counts in
    return {
        "file_kib": round(path.stat().st_size / 1024),
        "peak_gib": round(int(taken.stdout) * kib / 2**20, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz the targets and write what was found; rows of other targets stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=(*TARGETS, "all"), default="all")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if given.worker is not None:
        return work(given.target, folder, given.worker)
    names = TARGETS if given.target == "all" else (given.target,)
    kept = RESULTS / "fuzz.json"
    before = json.loads(kept.read_text())["rows"] if kept.exists() else []
    rows = {row["target"]: row for row in before}
    frame = largest(folder)
    for name in names:
        rows[name] = watch(name, folder / name, 60 * given.minutes)
        write_results(
            "fuzz",
            {
                "engine": engine()[0],
                "memory_gib": MEMORY / 2**30,
                "seconds_per_file": PATIENCE,
                "largest_frame": frame,
                "rows": [rows[one] for one in TARGETS if one in rows],
            },
            f"python benchmarks/fuzz.py --target all --minutes {given.minutes:g} --folder FOLDER",
        )
    sys.exit(any(rows[name]["findings"] for name in names))


if __name__ == "__main__":
    main()
