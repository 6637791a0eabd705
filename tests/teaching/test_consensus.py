"""What labellings have in common: one that is wrong is outvoted, and numbers do not matter."""

import numpy as np
import pytest

from mcevae.teaching.consensus import FEWEST, consensus

TRUTH = np.repeat(np.arange(4), [60, 80, 50, 40])


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labellings differ in their numbers only."""
    pairs = np.unique(np.stack([one, other]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


def renumbered(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same clusters with other numbers."""
    return np.random.default_rng(seed).permutation(labels.max() + 1)[labels]


def test_a_restart_that_joins_two_kinds_and_splits_another_is_outvoted() -> None:
    wrong = TRUTH.copy()
    wrong[TRUTH == 1] = 0
    wrong[np.flatnonzero(TRUTH == 3)[:15]] = 1
    found = consensus([renumbered(TRUTH, 0), wrong, renumbered(TRUTH, 1)], 4)
    assert found is not None and same(found, TRUTH)
    also = TRUTH.copy()
    also[TRUTH == 2] = 0
    also[np.flatnonzero(TRUTH == 1)[:30]] = 2
    found = consensus([renumbered(TRUTH, 0), wrong, also, renumbered(TRUTH, 1)], 4)
    assert found is not None and same(found, TRUTH)


def test_images_between_clusters_go_where_most_put_them() -> None:
    rng = np.random.default_rng(0)
    restarts = []
    for seed in range(5):
        moved = np.where(rng.uniform(size=len(TRUTH)) < 0.15, rng.integers(4, size=230), TRUTH)
        restarts.append(renumbered(moved, seed))
    found = consensus(restarts, 4)
    assert found is not None and sorted(np.unique(found)) == [0, 1, 2, 3]
    pairs = np.unique(np.stack([found, TRUTH]), axis=1, return_counts=True)[1]
    assert np.sort(pairs)[-4:].sum() > 0.97 * len(TRUTH)


def test_a_rare_kind_stays_where_all_restarts_have_it() -> None:
    kind = np.repeat(np.arange(10), [111] * 8 + [107, 5])
    doubtful = kind.copy()
    doubtful[np.flatnonzero(kind == 1)[:20]] = 2
    found = consensus([kind, doubtful, kind, doubtful, kind], 10)
    assert found is not None and same(found, kind)


def test_restarts_that_have_little_in_common_give_nothing() -> None:
    rng = np.random.default_rng(0)
    assert consensus([rng.integers(1000, size=9000) for _ in range(3)], 1000) is None


@pytest.mark.parametrize("count", range(1, FEWEST))
def test_few_restarts_have_no_majority(count: int) -> None:
    assert consensus([TRUTH] * count, 4) is None


def test_fewer_blocks_than_clusters_give_nothing() -> None:
    assert consensus([TRUTH] * 3, 5) is None
