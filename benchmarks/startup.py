"""How long the package takes to import, and its command line to show help.

    python benchmarks/startup.py

Each is a process of its own, in turns, the first turn not counted; seconds of wall clock and of the
processor, interpreter included. Writes results/startup.json.
"""

import resource
import subprocess
import sys
import time
from statistics import median

from common import write_results

WAYS = {
    "import mcevae": ["-c", "import mcevae"],
    "mcevae --help": ["-m", "mcevae", "--help"],
    "mcevae fit --help": ["-m", "mcevae", "fit", "--help"],
}
TURNS = 9


def once(arguments: list[str]) -> tuple[float, float]:
    """Seconds of wall clock and of the processor of one process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and store."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for turn in range(TURNS + 1):
        for name, arguments in WAYS.items():
            found = once(arguments)
            if turn > 0:
                seen[name].append(found)
    rows = {
        name: {
            "seconds": round(median(wall for wall, _ in found), 3),
            "processor_seconds": round(median(used for _, used in found), 3),
        }
        for name, found in seen.items()
    }
    print(rows)
    print(write_results("startup", {"turns": TURNS, "rows": rows}))


if __name__ == "__main__":
    main()
