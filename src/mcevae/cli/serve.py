"""`mcevae serve`: show a run in a browser."""

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mcevae.base.errors import UserError
from mcevae.cli.shared import Checkpoint, RunFolder, averaging, images_of, screen

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
) -> None:
    """Explore a run in a browser, and name, merge or split its groups.

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

    Raises:
        UserError: a package is missing, the port is in use, or the run cannot be read.
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

    saved_as_run(run, images)
    TrainedRun.open(latest(run), checkpoint)  # refuses a run that cannot be read at once
    with bind(host, port) as listening:  # first, because the next steps are slow
        app = Latest(lambda folder: explored(folder, checkpoint, hosts), run)
        if warning:
            screen.print(warning, highlight=False)
        address = f"http://{bracketed(host)}:{listening.getsockname()[1]}"
        screen.print(f"Open {address} (Ctrl-C ends it)", highlight=False)
        if open_browser:
            webbrowser.open(address)
        with app.watching(), suppress(KeyboardInterrupt):  # the normal way to end
            server(app).run(sockets=[listening])
    screen.print("Stopped. The groups are saved in the run.")


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
        gallery = hang(opened, data)
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
