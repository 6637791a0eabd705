"""`mcevae serve`: a run in a browser."""

from contextlib import suppress

from mcevae.base.errors import UserError
from mcevae.cli.shared import Run, images_of, screen


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

    from mcevae.pages.explorer import Explorer
    from mcevae.pages.gallery import hang
    from mcevae.pages.listen import bind, bracketed, server
    from mcevae.pages.serve import LOOPBACK, application
    from mcevae.runs.checkpoint import load_model
    from mcevae.runs.confidence import Calibration
    from mcevae.runs.infer import default_device
    from mcevae.runs.metrics import read_scores

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
