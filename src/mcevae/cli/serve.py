"""`mcevae serve`: show a run in a browser."""

import re
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcevae.base.errors import UserError
from mcevae.cli.shared import (
    Checkpoint,
    RunFolder,
    album_of,
    averaging,
    check_finds,
    images_of,
    screen,
)
from mcevae.finding.settings import Background

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mcevae.images.splits import Splits
    from mcevae.runs.run import TrainedRun
    from mcevae.runs.scores import Scores


def serve(
    run: RunFolder,
    /,
    *,
    host: str = "127.0.0.1",
    allow_host: tuple[str, ...] = (),
    port: int = 8765,
    open_browser: bool = False,
    checkpoint: Checkpoint = "best",
    images: str | None = None,
    finds: Path | None = None,
    frames: str | None = None,
    size: int | None = None,
    background: Background | None = None,
    invert: bool | None = None,
) -> None:
    """Explore a run in a browser, and name, merge or split its groups. Or look at finds in frames.

    Example: mcevae serve runs/first

    The page shows the report, and more: drop a new image on it, change its latents, correct the
    groups, download tables. While the run trains, it shows the first answer; when training ends, it
    changes to the last one by itself. Ctrl-C ends it. Needs pip install 'mcevae[serve]'.

    Args:
        run: Folder that `mcevae fit` made, or in which an estimator was saved.
        host: Network address to listen on. With the default only this machine can open the page.
            With any other address everybody who can reach this machine can: there is no password.
        allow_host: Names by which browsers may reach this machine, such as lab.example.org. Needed
            behind a proxy. With --host 0.0.0.0 or ::, any name will do unless you give some: then
            any other site's name can be made to lead here, and its pages can use the explorer.
        port: Port number. 0: any free port.
        open_browser: Open the page in the default browser.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.
        images: Images to show, for a folder of `save_pretrained`, which has none. It is a run then.
        finds: Table of `mcevae find` or `mcevae track` (.parquet or .csv). The page then shows its
            frames with the finds, plays films, and lets you add, delete and regroup things. The
            table stays as it is: corrections are kept beside it, in a file that ends in
            .corrections.json.
        frames: With --finds: the frames that the table was made from.
        size: With --finds: as `mcevae find` got it. If not given: as a Parquet table says.
        background: With --finds: as `mcevae find` got it. If not given: as a Parquet table says.
        invert: With --finds: as `mcevae find` got it. If not given: as a Parquet table says.

    Raises:
        UserError: a package is missing, the port is in use, or the run or the table cannot be read.
    """
    from mcevae.pages.needed import check_installed

    check_installed()
    import webbrowser

    from mcevae.estimator.as_run import saved_as_run
    from mcevae.pages.latest import Latest
    from mcevae.pages.listen import bind, bracketed, server
    from mcevae.pages.stage import latest
    from mcevae.runs.run import TrainedRun

    hosts, warning = who_may_ask(host, allow_host)
    given = {"size": size, "background": background, "invert": invert}
    told = {name: value for name, value in given.items() if value is not None}
    check_finds(finds, frames, *told)

    saved_as_run(run, images)
    opened = TrainedRun.open(latest(run), checkpoint)  # refuses one that cannot be read at once
    with bind(host, port) as listening, ExitStack() as until:  # first: the next steps are slow
        if finds and frames:
            app = looked_at(opened, finds, frames, told, hosts)
        else:
            app = Latest(lambda folder: explored(folder, checkpoint, hosts), run)
            until.enter_context(app.watching())
        if warning:
            screen.print(warning, highlight=False)
        address = f"http://{bracketed(host)}:{listening.getsockname()[1]}"
        screen.print(f"Open {address} (Ctrl-C ends it)", highlight=False)
        if open_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):  # the normal way to end
            server(app).run(sockets=[listening])
    kept = "corrections are saved beside the table" if finds else "groups are saved in the run"
    screen.print(f"Stopped. The {kept}.")


def looked_at(
    run: "TrainedRun", finds: Path, frames: str, told: dict[str, Any], hosts: tuple[str, ...]
) -> "FastAPI":
    """Make the web application of a table of finds.

    Args:
        run: The run that found them.
        finds: The table.
        frames: Its frames.
        told: What people said of how things were found, beside what the table says.
        hosts: Host names under which the server answers.
    """
    from mcevae.pages.finds.board import Board
    from mcevae.pages.finds.serve import finds_application

    return finds_application(Board(run, finds, album_of(run, frames), told), hosts)


def explored(folder: Path, checkpoint: Checkpoint, hosts: tuple[str, ...]) -> "FastAPI":
    """Make the web application of a run, or of its first answer.

    Args:
        folder: Folder of the run or of the answer.
        checkpoint: Which weights to use.
        hosts: Host names under which the server answers.
    """
    from mcevae.pages.explorer import Explorer
    from mcevae.pages.gallery import hang
    from mcevae.pages.serve import application
    from mcevae.predicting.kept_sums import page_sums
    from mcevae.runs.run import TrainedRun

    opened = TrainedRun.open(folder, checkpoint)
    data = images_of(opened)
    with screen.status("computing groups and poses of the images"):
        gallery = hang(opened, data, most=None)
    with averaging() as tell:
        sums = page_sums(opened, data, tell)
    explorer = Explorer(run=opened, gallery=gallery, sums=sums)
    return application(explorer, data, scores_of(opened, data), hosts)


def scores_of(run: "TrainedRun", data: "Splits") -> "Scores":
    """The scores of a run; those of an estimator, which has none yet, are computed and kept."""
    from mcevae.runs.scores import read_scores

    if run.epoch == 0 and not run.file("metrics.json").exists():
        run.keep(run.scores(data))
    return read_scores(run.folder, run.checkpoint)


def who_may_ask(host: str, allowed: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The host names that requests may have, and a warning if these are all names.

    Args:
        host: address that the server listens at.
        allowed: more names, from `--allow-host`.

    Raises:
        UserError: one of them is not a name.
    """
    from mcevae.pages.listen import bracketed
    from mcevae.pages.serve import LOOPBACK

    for name in allowed:
        if not re.fullmatch(r"[\w.:-]+", name):
            raise UserError(f"--allow-host {name}: give a name such as lab.example.org.")
    everywhere = host in ("0.0.0.0", "::")  # under any name of this machine
    if everywhere and not allowed:
        return ("*",), (
            f"With --host {host}, any site's name can be made to lead here, and its pages can then "
            "use the explorer; give the names of this machine with --allow-host."
        )
    own = () if everywhere else (host,)
    return (*LOOPBACK, *map(bracketed, (*own, *allowed))), None
