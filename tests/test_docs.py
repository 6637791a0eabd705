"""The documentation says what there is: commands, flags, names and files."""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import tyro
import yaml
from torch.distributed.run import get_args_parser

import mcevae
from mcevae.cli import main
from mcevae.models.config import PRESETS, Config
from mcevae.runs.trust.trust import word as word_of

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCES = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SPANS = re.compile(r"`([^`]+)`")
LINKS = re.compile(r"\]\(([^)#]+)")
Commands = dict[str, Callable[..., Any]]


def command_lines() -> list[tuple[str, str]]:
    """Page and text of every command line of mcevae in a block of code."""
    found = []
    for page in PAGES:
        for block in FENCES.findall(page.read_text()):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line) for line in lines if re.match(r"\s*mcevae [a-z]", line)]
    return found


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """What the command line knows, by name."""
    found: Commands = {}
    with monkeypatch.context() as patch:
        patch.setattr(
            tyro.extras, "subcommand_cli_from_dict", lambda known, **_: found.update(known)
        )
        main(["no such command"])
    return found


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Parses a command line to the end and runs nothing."""
    tyro_cli = tyro.cli

    def idle(command: Callable[..., Any], **settings: Any) -> None:
        tyro_cli(functools.wraps(command)(lambda *_, **__: None), **settings)

    monkeypatch.setattr(tyro, "cli", idle)
    monkeypatch.setattr(Config, "read", lambda _: PRESETS["default"]())
    return lambda line: main(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_command_lines_parse(page: str, line: str, parse: Callable[[str], None]) -> None:
    try:
        parse(line)
    except SystemExit:
        pytest.fail(f"{page}: {line}")


@pytest.mark.parametrize(
    "line",
    ["mcevae fit x", "mcevae fit x --out y --no-such-flag", "mcevae resume", "mcevae data x"],
)
def test_what_parsing_would_find(line: str, parse: Callable[[str], None]) -> None:
    with pytest.raises(SystemExit):
        parse(line)


STUBS = {
    "srun": 'exec "$@"',
    "scontrol": "echo first; echo second",
    "torchrun": 'printf "torchrun"; printf "\\t%s" "$@"; echo',
    "mcevae": 'printf "mcevae"; printf "\\t%s" "$@"; echo',
}
"""What a cluster has and this machine need not: launchers say what they were asked for."""
CLUSTER = {
    "SLURM_JOB_NODELIST": "node[1-2]",
    "SLURM_NNODES": "2",
    "SLURM_GPUS_PER_NODE": "4",
    "SLURM_CPUS_PER_TASK": "16",
    "SLURM_JOB_ID": "7",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_COUNT": "64",
}


def said(tmp_path: Path, *command: str) -> list[str]:
    """The command line that a script comes to, run where launchers only say it."""
    for name, does in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    made = subprocess.run(
        command,
        env={**os.environ, **CLUSTER, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0 and not made.stderr, made.stderr
    (line,) = made.stdout.splitlines()
    return line.split("\t")


def check(words: list[str], parse: Callable[[str], None], nodes: str = "2") -> list[str]:
    """Parse a command, and the one that torchrun is given; returns mcevae's words."""
    if words[0] == "torchrun":
        known = get_args_parser().parse_args(words[1:])
        assert (known.nnodes, known.nproc_per_node) == (nodes, "4")
        assert known.module and known.training_script == "mcevae"
        words = ["mcevae", *known.training_script_args]
    parse(shlex.join(words))
    return words


@pytest.mark.parametrize("begun", [False, True])
def test_slurm_training_starts_and_goes_on(
    tmp_path: Path, begun: bool, parse: Callable[[str], None]
) -> None:
    if begun:
        (tmp_path / "last.safetensors").touch()
    script = ROOT / "examples" / "slurm" / "train.sbatch"
    words = said(tmp_path, "bash", str(script), "folder", str(tmp_path))
    assert "first:29500" in words
    assert check(words, parse)[1] == ("resume" if begun else "fit")


def test_slurm_arrays_predict_shards(tmp_path: Path, parse: Callable[[str], None]) -> None:
    script = ROOT / "examples" / "slurm" / "predict.sbatch"
    words = said(tmp_path, "bash", str(script), "runs/a", "folder", "tables")
    assert check(words, parse)[-2:] == ["--shard", "3/64"]


def jobs(name: str) -> list[dict[str, Any]]:
    """The jobs of a manifest."""
    text = (ROOT / "examples" / "kubernetes" / name).read_text()
    return [one for one in yaml.safe_load_all(text) if one["kind"] == "Job"]


def test_kubernetes_training_meets_at_the_first_pod(
    tmp_path: Path, parse: Callable[[str], None]
) -> None:
    (job,) = jobs("train.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = said(tmp_path, *container["command"], *container["args"])
    assert check(words, parse, str(job["spec"]["completions"]))[1] == "fit"
    name = job["metadata"]["name"]
    assert f"{name}-0.{job['spec']['template']['spec']['subdomain']}:29500" in words


def test_kubernetes_pods_predict_shards(parse: Callable[[str], None]) -> None:
    (job,) = jobs("predict.yaml")
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]]
    words = [word.replace("$(JOB_COMPLETION_INDEX)", "3") for word in words]
    assert check(words, parse)[-1] == f"3/{job['spec']['completions']}"


def test_commands_and_flags_named_in_sentences_exist(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    helps = {}
    for name in commands:
        with pytest.raises(SystemExit):
            main([name, "--help-all" if name == "fit" else "--help"])
        helps[name] = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    helps["fit"].add("--help-all")
    for page in PAGES:
        text = FENCES.sub("", page.read_text())
        for span in SPANS.findall(text):
            flags = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", span))
            if span.startswith("--"):
                assert flags <= set.union(*helps.values()), f"{page.name}: {span}"
            elif match := re.match(r"mcevae ([a-z]+)", span):
                assert match[1] in commands, f"{page.name}: {span}"
                assert flags <= helps[match[1]], f"{page.name}: {span}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


def test_results_in_the_readme_are_the_measured_ones() -> None:
    results = ROOT / "benchmarks" / "results"
    rows = json.loads((results / "quality.json").read_text())["rows"]
    cells = sorted((results / "full").glob("se2-mce-vae-[0-9].json"))
    paper = [json.loads(path.read_text())["cell"] for path in cells]
    page = (ROOT / "README.md").read_text()
    names = ("accuracy", "bce", "rotation_error_median", "shift_error_mean", "same_cluster")
    for preset, runs in (("default", rows["se2"]), ("paper", paper)):
        (line,) = re.findall(rf"^\| preset `{preset}`, [^|]*\| (.*) \|$", page, re.MULTILINE)
        for name, cell in zip(names, line.split(" | "), strict=True):
            value = mean(run["scores"][name]["value"] for run in runs)
            written = cell.rstrip("° px")
            assert f"{value:.{len(written.partition('.')[2])}f}" == written, (preset, name)


def test_tutorials_call_trust_what_was_measured() -> None:
    results = ROOT / "benchmarks" / "results" / "tutorials.json"
    told = 0
    for name, found in json.loads(results.read_text())["pages"].items():
        page = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text()
        for word in re.findall(r"Trust is (?:only )?(firm|fair|doubtful)", page):
            assert word == word_of(found["trust"]), name
            told += 1
    assert told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_named_in_sentences_exist(page: Path) -> None:
    for span in SPANS.findall(FENCES.sub("", page.read_text())):
        if match := re.match(r"(?:python )?((?:tests|benchmarks|examples|scripts)/[\w./-]+)", span):
            assert (ROOT / match[1]).exists(), span
        elif re.fullmatch(r"[a-z_/]+/[a-z_]+\.py", span):
            assert (ROOT / "src" / "mcevae" / span).exists(), span


def test_rates_for_a_billion_images_are_the_measured_ones() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "scaling.json").read_text())
    page = (ROOT / "docs" / "performance.md").read_text()
    rates = found["median_images_per_second"].values()
    figures = [*found["a_billion"].values(), *found["speed_up_of_two"].values()]
    figures += [rate for by in rates for rate in by.values()]
    figures += [found[f"bytes_of_{one}"] for one in ("a_row", "an_image")]
    for figure in (*figures, found["first_targets_per_second"]):
        assert re.search(rf"(?<![\d,.]){re.escape(f'{figure:,}')}(?![\d,])", page), figure


def test_every_command_has_its_place_and_its_example(commands: Commands) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert re.findall(r"^## `mcevae (\w+)`", page, re.MULTILINE) == list(commands)
    for command in commands.values():
        (example,) = re.findall(r"Example: (mcevae .*)", command.__doc__ or "")
        assert example in page


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for name in mcevae.__all__:
        assert f"::: {getattr(mcevae, name).__module__}.{name}\n" in page


def test_no_page_has_the_marks_of_a_merge() -> None:
    marks = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert not [page.name for page in PAGES if marks.search(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINKS.findall(page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


FLAWS = {
    "link": lambda docs: append(docs / "faq.md", "[nowhere](no-such-page.md)"),
    "anchor": lambda docs: append(docs / "faq.md", "[nowhere](index.md#no-such-heading)"),
    "navigation": lambda docs: append(docs / "forgotten.md", "# A page that no menu leads to"),
    "reference": lambda docs: append(docs / "api.md", "::: mcevae.no_such_name"),
}
"""Faults that the documentation may have, each put into a copy of it."""


def append(page: Path, line: str) -> None:
    page.write_text(f"{page.read_text() if page.exists() else ''}\n\n{line}\n")


@pytest.mark.parametrize("flaw", [None, *FLAWS])
def test_make_docs_fails_on_any_warning(tmp_path: Path, flaw: str | None) -> None:
    for name in ("Makefile", "mkdocs.yml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "src").symlink_to(ROOT / "src")
    if flaw:
        FLAWS[flaw](tmp_path / "docs")
    programs = Path(sys.executable).parent
    made = subprocess.run(
        ["make", "--old-file=.venv/ready", "docs", f"BIN={programs}"],  # installs nothing
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode == 0) == (flaw is None), made.stderr
