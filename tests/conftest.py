"""Shapes and types in every signature are checked while the tests run."""

from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook finds it by name

install_import_hook("mcevae", "tests.typecheck.checked")

import shutil  # noqa: E402
import socket  # noqa: E402
import threading  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

from mcevae.cli import main  # noqa: E402
from mcevae.images.loading import load  # noqa: E402
from mcevae.images.splits import Splits  # noqa: E402
from mcevae.models.paper import PaperModel  # noqa: E402
from mcevae.models.registry import build  # noqa: E402
from mcevae.pages.explorer import Explorer  # noqa: E402
from mcevae.pages.gallery import Gallery, hang  # noqa: E402
from mcevae.pages.listen import server  # noqa: E402
from mcevae.pages.serve import application  # noqa: E402
from mcevae.predicting.kept_sums import originals_of  # noqa: E402
from mcevae.predicting.sums import Sums, sum_up  # noqa: E402
from mcevae.runs.checkpoint import load_model  # noqa: E402
from mcevae.runs.collections import Collections  # noqa: E402
from mcevae.runs.confidence import Calibration, calibrate  # noqa: E402
from mcevae.runs.data import prepare_for  # noqa: E402
from mcevae.runs.run import TrainedRun  # noqa: E402
from mcevae.runs.scores import Score  # noqa: E402
from mcevae.training.loop import fit  # noqa: E402
from tests.sizes import tiny  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
expect.set_options(timeout=60_000)  # ms; a busy machine draws slowly
LONGEST = (
    *("training/test_devices", "cli/test_channels", "exporting/test_export", "models/test_peers"),
    *("test_estimator", "runs/test_run", "cli/test_cli", "models/test_targets", "runs/test_kills"),
    *("pages/test_random", "pages/test_actions", "pages/test_selecting", "cli/test_hints"),
    *("cli/test_again", "test_estimator_shows"),
    *("models/test_precision", "training/test_own_group", "training/test_loop"),
    *("images/test_hostile", "test_notebooks", "images/test_packs", "test_hostile_runs"),
    *("predicting/test_shards", "reproduce/test_reproduce", "test_examples", "images/test_masks"),
    *("training/test_health", "test_tutorials", "training/test_mirror"),
    *("models/test_paper_model", "cli/test_extend"),
)
"""Files of tests that take most of the time. They come first, so that no process ends alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest files to the front; within a file, and among the others, nothing moves."""
    root = Path(__file__).parent
    places = {root / f"{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def small_data() -> Splits:
    """400 training images of mnist-mini under SE(2), and 100 to validate and test on."""
    data = prepare_for(tiny())
    few = slice(100)
    return Splits(
        train=data.train, validation=data.validation.subset(few), test=data.test.subset(few)
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, small_data: Splits) -> Path:
    """A run of two epochs on `small_data`."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    assert fit(tiny(), small_data, run)
    return run


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Quick runs of 240 digits in files with 4 clusters, and of 200 of them with 3."""
    folder = tmp_path_factory.mktemp("two")
    for i, image in enumerate(load("mnist-mini").train.pixels[:240, 0].numpy()):
        for kind in ("all", "some")[: 1 + (i < 200)]:
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / kind / f"{i:03}.png")
    for kind, clusters in (("all", "4"), ("some", "3")):
        fit_it = ["fit", str(folder / kind), "--quick", "--restarts", "1", "--clusters", clusters]
        main([*fit_it, "--out", str(folder / f"of_{kind}")])
    return folder / "of_all", folder / "of_some"


@pytest.fixture(scope="session")
def calibration(trained: Path, small_data: Splits) -> Calibration:
    """Of confidence and outlier score of `trained`."""
    model, config, _ = load_model(trained)
    return calibrate(model, config, small_data.validation.images.pixels)


@pytest.fixture(scope="session")
def opened(trained: Path, calibration: Calibration) -> TrainedRun:
    """`trained`, with a calibration that is not in its folder."""
    run = TrainedRun.open(trained)
    run.calibration = calibration
    return run


@pytest.fixture(scope="session")
def gallery(opened: TrainedRun, small_data: Splits) -> Gallery:
    """All images of `trained`."""
    return hang(opened, small_data)


@pytest.fixture(scope="session")
def sums(opened: TrainedRun, small_data: Splits, gallery: Gallery) -> Sums:
    """All images of `trained`, added up by cluster."""
    source, recipe = originals_of(opened, small_data)
    return sum_up(opened.model, source, recipe, Collections.plain(gallery.clusters))


@pytest.fixture
def model() -> PaperModel:
    """An untrained tiny model of 28 x 28 images, in evaluation mode."""
    torch.manual_seed(0)
    return build(tiny(), (1, 28, 28)).eval()


@pytest.fixture
def explorer(
    trained: Path, gallery: Gallery, sums: Sums, calibration: Calibration, tmp_path: Path
) -> Explorer:
    """A copy of the run, so that its groups can be changed."""
    run = TrainedRun.open(shutil.copytree(trained, tmp_path / "run"))
    run.calibration = calibration
    return Explorer(run=run, gallery=gallery, sums=sums)


@pytest.fixture
def app(explorer: Explorer, small_data: Splits) -> Any:
    return application(explorer, small_data, {"bce": Score(value=100.0, unit="nats", n=100)})


@pytest.fixture
def client(app: Any) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1")


def regrouped(client: Any, path: str, **content: Any) -> Any:
    """Ask an explorer for a change of its present groups; the answer, as httpx gives it."""
    version = client.get("/api/groups").json()["version"]
    return client.post(f"/api/groups/{path}", json={**content, "version": version})


def decided(client: Any, images: list[int], **decision: Any) -> Any:
    """Ask an explorer for a decision on images; the answer, as httpx gives it."""
    version = client.get("/api/groups").json()["version"]
    content = {"images": images, "version": version, **decision}
    return client.post("/api/selected/decide", json=content)


@pytest.fixture
def named(explorer: Explorer, client: TestClient) -> TestClient:
    """The client of an explorer whose images have names, as those of files."""
    names = [f"plate{i % 2}/{i:03}.png" for i in range(len(explorer.gallery))]
    explorer.gallery = replace(explorer.gallery, names=names)
    return client


@pytest.fixture
def parted(explorer: Explorer, named: TestClient, small_data: Splits) -> TestClient:
    """The same with three groups that have images, and an average each."""
    for _ in range(2):
        groups = explorer.groups()["groups"]
        largest = max(groups, key=lambda one: one["size"])
        assert regrouped(named, "split", group=largest["id"]).status_code == 200
    source, recipe = originals_of(explorer.run, small_data)
    explorer.sums = sum_up(explorer.run.model, source, recipe, explorer.collections)
    return named


@contextmanager
def served(app: Any, **settings: Any) -> Iterator[tuple[str, int]]:
    """A server of an application at a free port of this machine; `settings` as for `server`."""
    listening = socket.create_server(("127.0.0.1", 0))
    one = server(app, **settings)
    thread = threading.Thread(target=one.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        one.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def address(app: Any) -> Iterator[str]:
    """Of the explorer's server."""
    with served(app) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture
def errors() -> list[str]:
    """What the page reports as errors."""
    return []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for a file of tests."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium; install your system's package of it")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, errors: list[str]) -> Iterator[Page]:
    """A page that shares nothing with others; whatever it reports as an error fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))
    yield page
    found = list(errors)  # closing breaks off what is being asked for, which is none
    context.close()
    assert not found
