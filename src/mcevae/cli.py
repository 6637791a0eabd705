"""Command line: `fit`, `predict`, `report` and the others that `mcevae --help` lists.

Modules that need torch are imported in the commands, so that `--help` is quick.
"""

import dataclasses
import errno
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from mcevae.config import PRESETS, Config, DataConfig, FilesConfig
from mcevae.errors import TrainingError, UserError
from mcevae.shards import Shard, place

if TYPE_CHECKING:
    from mcevae.data import Splits
    from mcevae.engine import Made
    from mcevae.metrics import Scores
    from mcevae.readers import Fault

screen = Console(soft_wrap=True, markup=False)  # names of files may look like markup
FAULTS_SHOWN = 20
SHARED = ("fit", "resume", "predict")
"""Commands that several processes share."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
"""What a full, read-only or failing disk says."""
Run = tyro.conf.Positional[Path]
DESCRIPTION = """Sort unlabelled images by what they show, however they are turned or shifted.

Start with: mcevae fit mnist-mini --epochs 40 --out runs/first"""


def fit_from(start: Config) -> Callable[..., None]:
    """The command `fit`, its flags' defaults taken from `start`."""

    def fit(
        config: tyro.conf.OmitArgPrefixes[Config] = start,
        *,
        out: Path,
        settings: Path | None = None,  # read by `starting_point`, before the flags
    ) -> None:
        """Learn clusters and poses from images; ends with scores and report.html.

        Example: mcevae fit mnist-mini --group se2 --clusters 10 --epochs 40 --out runs/first

        Ctrl-C saves; `mcevae resume RUN` goes on.

        Args:
            out: Folder to make for the run.
            settings: TOML file to take settings from, such as a run's settings.toml; flags win.
        """
        from mcevae.files import is_stale
        from mcevae.folder import settle

        begun = out.exists() and not (out.is_dir() and all(map(is_stale, out.iterdir())))
        if begun and place()[0] == 0:  # other ranks may find what rank 0 has written by then
            raise UserError(f"{out}: exists already; choose another --out, or `mcevae resume`.")

        with screen.status("looking at the images"):
            config, found = settle(config)
        if found:
            screen.print(found.in_words(), highlight=False)
        train(config, out, resume=False)

    return fit


def resume(
    run: Run,
    /,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
) -> None:
    """Go on with a run that was stopped, or train it longer.

    Example: mcevae resume runs/first --epochs 40

    Args:
        run: Folder that `mcevae fit` made.
        epochs: Train until this many epochs in all. Unset: as the run was started.
        minutes: Train until this many minutes in all. Unset: as the run was started.
        batch_size: Images per step and device from here on, for another number of devices say.
            Unset: as the run was started.
    """
    if not run.is_dir():
        raise UserError(f"{run}: no such run; give a folder that `mcevae fit` made.")
    config = Config.read(run / "settings.toml")
    given = {"epochs": epochs, "minutes": minutes, "batch_size": batch_size}
    changes = {k: v for k, v in given.items() if v is not None}
    try:
        settings = dataclasses.replace(config.train, **changes)
    except ValueError as error:
        raise UserError(f"{error}.") from error
    train(dataclasses.replace(config, train=settings), run, resume=True)


def train(config: Config, run: Path, *, resume: bool) -> None:
    """Train, then score and report, which is rank 0's."""
    from mcevae.checkpoint import check_source
    from mcevae.data import prepare_for
    from mcevae.machine import keep_memory
    from mcevae.schedule import advice
    from mcevae.train import fit

    keep_memory()
    if resume:
        check_source(run, config)
    with reading() as bar:
        data = prepare_for(config, bar.track)
    said = advice(config, len(data.train))
    if said and not resume:
        screen.print(said, highlight=False)
    if not fit(config, data, run, resume=resume, console=screen):
        screen.print(f"Stopped and saved. Go on with: mcevae resume {run}")
        sys.exit(0 if place()[0] else 130)  # or the launcher would end rank 0 before it says so
    if place()[0] == 0:
        show_and_report(run, data)


def reading() -> Progress:
    """A bar for files that are read, which goes when they are."""
    return Progress(TextColumn("reading images"), BarColumn(), console=screen, transient=True)


def images_of(run: Path, config: Config, state: dict[str, Any]) -> "Splits":
    """The images that a run was trained on, which are what they were."""
    from mcevae.checkpoint import check_data, check_source
    from mcevae.data import prepare_for

    check_source(run, config)
    with reading() as bar:
        data = prepare_for(config, bar.track)
    check_data(run, data, state)
    return data


def tell_faults(faults: "Sequence[Fault]", path: Path) -> None:
    """Name the first few of the files that could not be used, and the table of them all."""
    if not faults:
        return
    screen.print(f"{len(faults)} could not be used, all named in {path}:", highlight=False)
    for fault in faults[:FAULTS_SHOWN]:
        screen.print(f"  {fault.name} {fault.reason}", highlight=False, markup=False)


def show_and_report(run: Path, data: "Splits") -> None:
    """Score the best checkpoint on the test split; write metrics.json, skipped.csv, report.html."""
    from mcevae.checkpoint import load_model
    from mcevae.confidence import calibrate
    from mcevae.infer import default_device
    from mcevae.readers import write_faults
    from mcevae.report import write_report

    config, scores = score(run, data, "test", "best")
    model, _, _ = load_model(run, "best", default_device())
    with screen.status("measuring confidence"):
        calibration = calibrate(model, config, data.validation.images.pixels)
        calibration.write(run)
    write_faults(data.faults, run / "skipped.csv")
    tell_faults(data.faults, run / "skipped.csv")
    with screen.status("drawing the report"):
        page = write_report(run, model, config, data, scores, calibration)
    screen.print(f"Open {page}")


def score(run: Path, data: "Splits | None", split: str, which: str) -> tuple[Config, "Scores"]:
    """Score a run's checkpoint, print the table, write metrics.json."""
    from mcevae.checkpoint import load_model
    from mcevae.infer import default_device
    from mcevae.metrics import evaluate
    from mcevae.report import write_scores

    model, config, state = load_model(run, which, default_device())
    data = data or images_of(run, config, state)
    with screen.status("scoring"):
        scores = evaluate(model, config, data, split)
    epoch = state["position"]["epoch"] + 1
    about = {"split": split, "checkpoint": which, "epoch": epoch}
    parts = ["metrics", split if split != "test" else "", which if which != "best" else ""]
    name = "-".join(filter(None, parts)) + ".json"
    write_scores(scores, run / name, **about)
    shown = Table(title=f"{run}: {split} images, {which} checkpoint, epoch {epoch}")
    for column in ("score", "value", "unit", "images"):
        shown.add_column(column, justify="right" if column in ("value", "images") else "left")
    for name, figure in scores.items():
        shown.add_row(name, f"{figure.value:.4g}", figure.unit, str(figure.n))
    screen.print(shown)
    return config, scores


def evaluate(
    run: Run,
    /,
    *,
    split: Literal["test", "validation"] = "test",
    checkpoint: Literal["best", "last"] = "best",
) -> None:
    """Score a run: clusters, poses, reconstruction, invariance; writes metrics.json.

    Example: mcevae evaluate runs/first

    Args:
        run: Folder that `mcevae fit` made.
        split: Images to score; other scores than the default's go to files of their own.
        checkpoint: best has the lowest negative ELBO on the validation images.
    """
    score(run, None, split, checkpoint)


def report(run: Run, /) -> None:
    """Score a run and write its report.html anew.

    Example: mcevae report runs/first

    Args:
        run: Folder that `mcevae fit` made.
    """
    from mcevae.checkpoint import load_model

    _, config, state = load_model(run)
    show_and_report(run, images_of(run, config, state))


def pack(
    files: tyro.conf.OmitArgPrefixes[FilesConfig],
    *,
    out: Path,
    like: Path | None = None,
    seed: int = 0,
) -> None:
    """Lay images on disk in one form and in random order, for sources larger than memory.

    Example: mcevae pack folder --out packed

    `mcevae fit packed` then learns from one window of them after another, and `mcevae predict RUN
    packed` reads them quicker than files. Memory does not grow with the number of images.

    Args:
        out: Folder to make.
        like: Run whose images' form these shall have, to predict them with it.
        seed: Seed of the order.
    """
    from mcevae.checkpoint import load_model
    from mcevae.folder import is_split_archive
    from mcevae.packing import write_pack
    from mcevae.packs import is_pack

    source, config = Path(files.source), DataConfig(**dataclasses.asdict(files))
    if not config.is_file or is_split_archive(source) or is_pack(source):
        raise UserError(f"{source}: has one form already; give files, or a folder of them.")
    if like:
        _, known, state = load_model(like)
        shape = (known.data.size or state["shape"][1], known.data.size or state["shape"][2])
        if shape[0] != shape[1]:
            raise UserError(f"{like}: takes images of {shape[0]} x {shape[1]}, not of one side.")
        config = dataclasses.replace(
            known.data, source=config.source, size=shape[0], labels=config.labels
        )
    with reading() as bar:
        made = write_pack(source, config, out, seed=seed, track=bar.track)
    _, height, width = made.shape
    screen.print(f"{made.count} images of {height} x {width} in {out}", highlight=False)
    tell_faults(made.faults, out / "skipped.csv")


def predict(
    run: Run,
    source: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    canonical: Path | None = None,
    part: Literal["all", "train", "test"] = "all",
    shard: str | None = None,
    ray: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table with cluster, confidence, pose and latents of every image.

    Example: mcevae predict runs/first folder --out table.parquet

    Files are read as those that the run was trained on. A stopped command goes on where it was when
    it is given again; memory does not grow with the number of images. Several processes write a
    shard of the images each, and need not know of each other: torchrun, job arrays, Ray.

    Args:
        run: Folder that `mcevae fit` made.
        source: Folder of images, a file or a list of some (see `mcevae fit --help`), or a built-in
            set. Images are taken as they lie.
        out: Table to write, .parquet or .csv; one row per image. Files that could not be used are
            named in a .skipped.csv beside it. Or a folder for shards, each a table
            part-I-of-N.parquet.
        canonical: Folder for PNGs of every image: canonical (what the model draws of it, free of
            pose) and upright (the image itself, moved back by its pose).
        part: Which images of a source that has training and test images.
        shard: I/N: only the I-th of N shards, from 0. Unset: as torchrun numbers this process.
        ray: Have a Ray cluster (or this machine) make so many shards: pip install 'mcevae[ray]'.
        overwrite: Replace the table if it exists.
    """
    from mcevae.engine import Order, make_here, make_on_ray

    rank, count = place()
    if shard is None and count > 1:
        shard = f"{rank}/{count}"
    if ray and shard:
        raise UserError(f"--ray {ray} makes all shards; leave out --shard and torchrun.")
    whole = out.suffix != "" and not (shard or ray)
    if out.suffix and not whole:
        raise UserError(f"{out}: shards go into a folder; give an --out without {out.suffix}.")
    order = Order(
        run=run, source=source, out=out, canonical=canonical, part=part, overwrite=overwrite
    )
    if ray:
        for made in make_on_ray(order, ray):
            tell_made(made)
        return
    mine = None if whole else Shard.parse(shard or "0/1")
    bar = Progress(console=screen, transient=True, disable=rank > 0)
    with bar:
        task = bar.add_task("reading and predicting", total=1.0)

        def tell(done: float, images: int) -> None:
            bar.update(task, completed=done, description=f"{images} images")

        made = make_here(order, mine, tell)
    tell_made(made)


def tell_made(made: "Made") -> None:
    """Say what table there is, and what is not in it."""
    screen.print(made.in_words(), highlight=False)
    tell_faults(made.faults, made.skipped)


def groups(
    run: Run,
    /,
    *,
    rename: tuple[str, str] | None = None,
    merge: tuple[str, ...] = (),
    split: str | None = None,
    reset: bool = False,
) -> None:
    """List a run's groups; name, merge or split them, for `predict` and `report` to honour.

    Example: mcevae groups runs/first --merge 3 7

    Kept in groups.json of the run. Groups are given by their names, at first the clusters' numbers.

    Args:
        run: Folder that `mcevae fit` made.
        rename: A group's name, and the one it shall have.
        merge: Groups to make one of; it keeps the first one's name.
        split: A group to take apart: a merged one into its parts, any other in two by z.
        reset: Go back to one group for each cluster first; the old file is kept as groups.json.old.
    """
    from mcevae.checkpoint import load_model
    from mcevae.curation import FILE, Curation
    from mcevae.infer import default_device, embed

    model, config, state = load_model(run, "best", default_device())
    if reset and (run / FILE).exists():
        (run / FILE).replace(run / f"{FILE}.old")
    data = images_of(run, config, state)
    with screen.status("looking at the images"):
        found = embed(model, data.train.images.pixels)
    made = before = Curation.read(run, found.responsibilities.shape[1])
    cluster, z = found.cluster.numpy(), found.z.numpy()
    try:
        if rename:
            made = made.renamed(made.named(rename[0]), rename[1])
        if merge:
            made = made.merged([made.named(name) for name in merge])
        if split is not None:
            made = made.split(made.named(split), cluster, z)
    except ValueError as error:
        raise UserError(f"{run}: {error}.") from error
    if made != before:
        made.write(run)
    counts = Counter(made.assign(cluster, z).tolist())
    shown = Table(title=f"{run}: groups of its {len(z)} training images")
    for column in ("group", "clusters", "images"):
        shown.add_column(column, justify="right" if column == "images" else "left")
    for i, group in enumerate(made.groups):
        shown.add_row(group.name, ", ".join(group.units), str(counts[i]))
    screen.print(shown)


def serve(
    run: Run, /, *, host: str = "127.0.0.1", port: int = 8765, open_browser: bool = False
) -> None:
    """Look around in a run with a browser, and name, merge or split its groups.

    Example: mcevae serve runs/first

    The report's page over live data: drop a new image on it, move its latents, correct the groups,
    download tables. Ctrl-C ends it. Needs pip install 'mcevae[serve]'.

    Args:
        run: Folder that `mcevae fit` made.
        host: Address to listen at. Others than the default can be reached from other machines,
            by anyone: there is no password.
        port: Number of the port; 0 takes any that is free.
        open_browser: Open the page in the default browser.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'mcevae[serve]'.") from error
    import webbrowser

    from mcevae.checkpoint import load_model
    from mcevae.confidence import Calibration
    from mcevae.explorer import Explorer
    from mcevae.gallery import hang
    from mcevae.infer import default_device
    from mcevae.listen import bind, bracketed, server
    from mcevae.metrics import read_scores
    from mcevae.serve import LOOPBACK, application

    model, config, state = load_model(run, "best", default_device())
    with bind(host, port) as listening:  # first, since all that follows takes its time
        data, calibration = images_of(run, config, state), Calibration.read(run)
        with screen.status("looking at the images"):
            gallery = hang(model, config, data, calibration)
        explorer = Explorer(
            run=run, model=model, config=config, gallery=gallery, calibration=calibration
        )
        everywhere = host in ("0.0.0.0", "::")  # by whatever name this machine is known
        hosts = ("*",) if everywhere else (*LOOPBACK, bracketed(host))
        app = application(explorer, data, read_scores(run), hosts)
        address = f"http://{bracketed(host)}:{listening.getsockname()[1]}"
        screen.print(f"Open {address} (Ctrl-C ends it)", highlight=False)
        if open_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):  # the way it is meant to end
            server(app).run(sockets=[listening])
    screen.print("Ended. The groups are kept in the run.")


def export(
    run: Run,
    /,
    *,
    to: Literal["onnx", "embedding-atlas", "tensorboard", "fiftyone"],
    out: Path,
) -> None:
    """Write a run for other programs: its networks as graphs, or its images as tables.

    Example: mcevae export runs/first --to onnx --out graphs

    Args:
        run: Folder that `mcevae fit` made.
        to: onnx: encode.onnx, canonical.onnx and reconstruct.onnx for programs without torch,
            compared with torch in onnxruntime (pip install 'mcevae[onnx]'). Others: all images
            with groups, poses and a map, as that program reads them.
        out: Folder to make.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already; choose another --out, or move it away.")
    import torch

    from mcevae.checkpoint import load_model
    from mcevae.confidence import Calibration
    from mcevae.curation import Curation
    from mcevae.gallery import hang
    from mcevae.graphs import need_onnx, write_graphs
    from mcevae.infer import default_device
    from mcevae.interchange import write_for

    if to == "onnx":
        need_onnx()
    model, config, state = load_model(run, "best", default_device())
    data = images_of(run, config, state)
    if to == "onnx":
        with screen.status("writing graphs and comparing them with torch"):
            pixels = data.validation.images.pixels
            found = write_graphs(model.to(torch.device("cpu")), config, pixels, run, out)
        for name, gap in found.items():
            screen.print(f"{name}: differs from torch by at most {gap:.1e}", highlight=False)
        screen.print(f"Graphs and model.json in {out}")
        return
    with screen.status("looking at the images"):
        gallery = hang(model, config, data, Calibration.read(run))
    with screen.status(f"writing {len(gallery)} images"):
        said = write_for(to, gallery, Curation.read(run, gallery.clusters), out)
    screen.print(f"{len(gallery)} images in {out}. Look at them with: {said}", highlight=False)


def reproduce(
    what: tyro.conf.Positional[
        Literal["figure3", "figure4a", "figure4b", "figure5", "table", "all"]
    ],
    /,
    *,
    out: Path,
    budget: float | Literal["full"] = 5.0,
    models: tuple[str, ...] = (),
    groups: tuple[Literal["so2", "se2"], ...] = ("so2", "se2"),
    seeds: tuple[int, ...] = (0,),
    source: str = "mnist",
) -> None:
    """Remake the paper's experiments beside its rivals, on the same data, budgets and scores.

    Example: mcevae reproduce all --source mnist-mini --out runs/reproduction

    A cell is a model, a group and a seed. Those that are done are not run again, a stopped one
    goes on where it was; delete a cell's folder to have it made anew. Figures (PNG, SVG) and
    tables (Markdown, CSV, JSON) are written to OUT/BUDGET.

    Args:
        what: A figure of the paper, the table of all models, or all of them.
        out: Folder of the cells, figures and tables; may exist.
        budget: Minutes of training for each model, on at most 10,000 images, scored on 2,000 test
            images; the whole of `all` has 30 trainings. full: all images pooled and split 6:1, as
            in the paper, and as many epochs as a preset says (60, as in the paper, but for preset
            default).
        models: Only these; unset: all that WHAT needs.
        groups: Only images moved by these groups.
        seeds: Seeds of the trainings.
        source: Labelled built-in set or .npz file.
    """
    from mcevae.reproduce.grid import NEEDS, Experiment, budget_of, cells_for
    from mcevae.reproduce.run import reproduce

    experiments: list[Experiment] = list(NEEDS) if what == "all" else [what]
    cells = cells_for(
        experiments,
        models=models,
        groups=groups,
        seeds=seeds,
        budget=budget_of(budget),
        source=source,
        out=out,
    )
    made = reproduce(experiments, cells, screen)
    if made is None:
        screen.print("Stopped and saved. Give the same command to go on.")
        sys.exit(130)
    for path in made.files:
        screen.print(f"{path}", highlight=False)


def data() -> None:
    """List the built-in image sets and what each needs.

    Example: mcevae data
    """
    from mcevae.data import DATASETS

    shown = Table(title="Built-in sets; a .npy or .npz file can be given in place of a name")
    for column in ("name", "images", "needs", "licence"):
        shown.add_column(column)
    for name, dataset in DATASETS.items():
        shown.add_row(name, dataset.description, dataset.needs, dataset.licence)
    screen.print(shown)


def starting_point(arguments: Sequence[str]) -> Config:
    """Defaults of `fit`'s flags: the settings file or preset that the arguments name."""
    named = dict(pairwise(arguments))
    for argument in arguments:
        if argument.startswith("--") and "=" in argument:
            name, value = argument.split("=", 1)
            named[name] = value
    if "--settings" in named:
        return Config.read(Path(named["--settings"]))
    name = named.get("--preset", named.get("--model", ""))
    return PRESETS.get(name, PRESETS["default"])()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 2 for what the user can mend, 1 for failed training."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        run(arguments)
    except UserError as error:
        fail(str(error), 2)
    except TrainingError as error:
        fail(str(error), 1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fail("there is not enough memory; use a smaller --batch-size, --limit or --hidden.", 1)
    except OSError as error:
        if error.errno not in DISK:
            raise
        fail(f"{error.filename or 'a file'}: cannot be read or written ({error.strerror}).", 2)
    except KeyboardInterrupt:
        fail("stopped.", 130)


def run(arguments: list[str]) -> None:
    """Hand the arguments to their command."""
    commands: dict[str, Callable[..., Any]] = {
        "fit": fit_from(starting_point(arguments)),
        "resume": resume,
        "pack": pack,
        "evaluate": evaluate,
        "predict": predict,
        "report": report,
        "groups": groups,
        "serve": serve,
        "export": export,
        "reproduce": reproduce,
        "data": data,
    }
    if arguments[:1] == ["--version"]:
        from importlib.metadata import version

        screen.print(version("mcevae"))
    elif arguments and arguments[0] in commands:
        name = arguments[0]
        rank, count = place()
        if count > 1 and name not in SHARED:
            raise UserError(
                f"{count} processes would all do the same; start mcevae {name} without torchrun."
            )
        screen.quiet = rank > 0 and name != "predict"
        tyro.cli(commands[name], prog=f"mcevae {name}", args=arguments[1:])
    else:
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="mcevae", description=DESCRIPTION, args=arguments
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch says so in words only, on every kind of device."""
    return isinstance(error, MemoryError) or "tried to allocate" in str(error).lower()


def fail(sentence: str, code: int) -> NoReturn:
    """Say what is wrong, and in which of several processes, and leave."""
    rank, count = place()
    who = f"mcevae (rank {rank})" if count > 1 else "mcevae"
    Console(stderr=True, soft_wrap=True).print(f"{who}: {sentence}", markup=False, highlight=False)
    sys.exit(code)
