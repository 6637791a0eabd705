"""Settings that belong to one model: which model reads them, and how files have them."""

from typing import Any

from mcevae.base.errors import SettingError
from mcevae.models.registry import entry_of, readers, spec_of


def unread(kind: str, setting: str) -> str:
    """What is said of a setting that a model does not read, "peer.gamma" say, and others do."""
    flag = setting.split(".")[1].replace("_", "-")
    others = " or ".join(readers(setting))
    return f"preset {entry_of(kind).preset} does not know this --{flag}; use --preset {others}"


OLD_PEER_SETTINGS = {
    "code": 16,
    "gamma": 10.0,
    "rotation_prior": 45.0,
    "shift_prior": 0.05,
    "search_restarts": 20,
    "search_steps": 10,
    "pretrain": 0.2,
}
"""What old files have in a table `baseline`, whatever their model."""


def own_settings(given: Any, baseline: Any, kind: str) -> Any:
    """Settings of a model's own, as a file has them in the table `peer` or, if old, `baseline`.

    Args:
        given: the table `peer`.
        baseline: the table `baseline`. Its defaults are left out where the model does not read
            them.
        kind: of the model.

    Raises:
        SettingError: one is read by other models alone.
    """
    if not isinstance(given, dict) or not isinstance(baseline, dict):
        return baseline if isinstance(given, dict) else given  # which `checked` refuses
    spec = spec_of(kind)
    mine = {
        name: value
        for name, value in baseline.items()
        if spec.knows(f"peer.{name}") or OLD_PEER_SETTINGS.get(name) != value
    }
    own = mine | given
    for name in own:
        if not spec.knows(f"peer.{name}") and readers(f"peer.{name}"):
            raise SettingError(unread(kind, f"peer.{name}"))
    return own
