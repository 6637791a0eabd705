"""The scikit-learn estimator keeps scikit-learn's contract and the models' meaning."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from mcevae.estimator import MCEVAE
from mcevae.images.loading import load
from mcevae.runs.answers import frames_in, pixels_by
from mcevae.runs.infer import outputs

TINY: dict[str, dict[str, Any]] = {
    "model": {"rotations": 24, "variation": 4, "hidden": 32},
    "start": {"templates": 4, "subset": 100, "neighbours": 5, "restarts": 1, "redraws": 1},
    "train": {"batch_size": 50},
}


def tiny(**changes: Any) -> MCEVAE:
    return MCEVAE(3, max_epochs=2, settings=TINY, **changes)


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return load("mnist-mini").train.pixels[:150, 0].numpy()


@pytest.fixture(scope="module")
def fitted(X: np.ndarray) -> MCEVAE:
    return tiny().fit(X)


def test_it_gives_clusters_poses_and_pictures(fitted: MCEVAE, X: np.ndarray) -> None:
    assert fitted.labels_.shape == (150,) and (fitted.predict(X) == fitted.labels_).all()
    assert np.allclose(fitted.predict_proba(X).sum(1), 1, atol=1e-5)
    latents = fitted.transform(X[:7])
    names = fitted.get_feature_names_out()
    assert latents.shape == (7, len(names)) == (7, 3 + 3 + 4)
    assert {"z_c_0", "tau_rotation_rad", "z_3"} <= set(names)
    drawn = fitted.inverse_transform(latents)
    assert drawn.shape == (7, 28, 28) and drawn.min() >= 0 and drawn.max() <= 1
    assert fitted.canonical(X[:7]).shape == (7, 28, 28) and fitted.pose(X[:7]).shape == (7, 3, 3)
    assert ((fitted.confidence(X) > 0) & (fitted.confidence(X) <= 1)).all()
    assert fitted.outlier(255 - X[:3]).min() == 1
    assert fitted.score(X) > fitted.score(255 - X)


def test_inverse_transform_is_the_reconstruction(fitted: MCEVAE, X: np.ndarray) -> None:
    pixels = pixels_by(fitted.recipe_, frames_in(X[:5]))
    (_, out), *_ = outputs(fitted.model_, pixels)
    drawn = fitted.inverse_transform(fitted.transform(X[:5]))
    assert np.abs(drawn - out.reconstruction[:, 0].cpu().numpy()).max() < 0.02


def test_flat_rows_and_images_are_the_same(fitted: MCEVAE, X: np.ndarray) -> None:
    flat = X.reshape(len(X), -1)
    assert np.allclose(fitted.transform(flat), fitted.transform(X))
    with pytest.raises(ValueError, match="780 features, which do not make an image; give"):
        tiny().fit(flat[:, :780])
    shaped = tiny(image_shape=(26, 30)).fit(flat[:, :780])
    assert shaped.image_shape_ == (26, 30)
    with pytest.raises(ValueError, match="as for `fit`"):
        shaped.predict(X)


def test_a_seed_repeats_a_fit_and_labels_are_not_read(fitted: MCEVAE, X: np.ndarray) -> None:
    again = clone(fitted).fit(X, np.zeros(len(X)))
    assert np.array_equal(again.transform(X), fitted.transform(X))
    other = tiny(random_state=np.random.RandomState(5)).fit(X)
    assert not np.array_equal(other.transform(X), fitted.transform(X))


def test_pickles_hold_safetensors(fitted: MCEVAE, X: np.ndarray) -> None:
    content = pickle.dumps(fitted)
    assert (b"torch._utils" not in content and b"__metadata__" in content) or b'"dtype"' in content
    assert np.array_equal(pickle.loads(content).transform(X), fitted.transform(X))


def test_it_works_in_pipelines_and_searches(X: np.ndarray) -> None:
    pipeline = make_pipeline(FunctionTransformer(lambda x: x / 255.0), tiny())
    pipeline[-1].set_output(transform="pandas")
    frame = pipeline.fit(X).transform(X)
    assert frame.columns[0] == "z_c_0" and len(frame) == 150
    search = GridSearchCV(tiny(), {"n_clusters": [2, 3]}, cv=2).fit(X[:100])
    assert search.best_params_["n_clusters"] in (2, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotation": 300.0}, "rotation is 300"),
        ({"group": "so5"}, "so5"),
        ({"n_clusters": 0}, "clusters"),
    ],
)
def test_wrong_settings_are_value_errors(
    changes: dict[str, Any], message: str, X: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny().set_params(**changes).fit(X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"max_epochs": 1}, "give max_epochs 2"),
        ({"n_clusters": 200}, 'lower n_clusters and settings["start"]["neighbours"]'),
        ({"random_state": -1}, "random_state is -1"),
        ({"settings": {"train": {"batch_size": 1}}}, 'settings["train"]["batch_size"] is 1'),
    ],
    ids=str,
)
def test_errors_call_settings_by_the_names_of_the_estimator(
    changes: dict[str, Any], message: str, X: np.ndarray
) -> None:
    with pytest.raises(ValueError) as error:
        tiny().set_params(**changes).fit(X)
    assert message in str(error.value) and "--" not in str(error.value)


class Stripes(MCEVAE):
    """The estimator for rows of a few numbers, as scikit-learn's checks give: drawn as stripes."""

    def __init__(
        self,
        n_clusters: Any = 3,
        *,
        max_epochs: int = 2,
        settings: Any = None,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            n_clusters, max_epochs=max_epochs, settings=settings, random_state=random_state
        )

    def _laid_out(self, flat: Any) -> Any:
        n, features = flat.shape
        return flat.reshape(n, 1, features).repeat(16, 1).repeat(-(-16 // features), 2)


EXPECTED = {
    "check_do_not_raise_errors_in_init_or_set_params": "conftest checks annotated types",
    "check_clustering": "three blobs of two numbers, stretched to black and white, are no shapes",
    "check_methods_subset_invariance": "float32 sums depend on the batch by 2e-7; 1e-7 is asked",
}


def test_it_keeps_the_contract_of_estimators() -> None:
    start = {**TINY["start"], "grouping": "kmeans", "poses": "moments"}  # dozens of fits
    results = check_estimator(
        Stripes(settings={**TINY, "start": start, "data": {"flatten": "no"}}),
        expected_failed_checks=EXPECTED,
        on_skip=None,
        on_fail=None,
    )
    assert results is not None and len(results) > 40
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert not failed
