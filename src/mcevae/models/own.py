"""Settings that only some models read: which models these are, and how files hold them."""

from typing import Any

from mcevae.base.errors import SettingError
from mcevae.base.flags import flag_of
from mcevae.models.registry import entry_of, readers, spec_of


def unread(kind: str, setting: str) -> str:
    """Write the error for a setting, such as "peer.gamma", that only other models read."""
    flag = flag_of(setting.split(".")[1])
    others = " or ".join(readers(setting))
    return f"preset {entry_of(kind).preset} does not use this --{flag}; use --preset {others}"


OLD_PEER_SETTINGS = {
    "code": 16,
    "gamma": 10.0,
    "rotation_prior": 45.0,
    "shift_prior": 0.05,
    "search_restarts": 20,
    "search_steps": 10,
    "pretrain": 0.2,
}
"""The table `baseline` that every old file has, whatever its model."""


def own_settings(given: Any, baseline: Any, kind: str) -> Any:
    """Read the settings that only some models have from the tables of a file.

    Args:
        given: the table `peer`.
        baseline: the table `baseline` of an old file. Defaults that the model does not read are
            left out.
        kind: kind of the model.

    Raises:
        SettingError: only other models read a setting.
    """
    if not isinstance(given, dict) or not isinstance(baseline, dict):
        return baseline if isinstance(given, dict) else given  # `checked` will refuse it
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


FORMER_NAMES = {("model", "channels"): "filters", ("data", "channel"): "channels"}
"""Settings that have other names now, by part and former name."""


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by part, with the present names of those that older files call otherwise."""
    made = dict(values)
    for (part, former), name in FORMER_NAMES.items():
        own = made.get(part)
        if isinstance(own, dict) and former in own and name not in own:
            value = str(own[former]) if part == "data" else own[former]
            kept = {key: each for key, each in own.items() if key != former}
            made[part] = {**kept, name: value}
    return made


FORMER = {"start.poses": "templates", "start.restarts": 3, "start.firm": 0.9}
"""Defaults that have changed. Older files have them for models that do not read the setting."""


def without_former(part: str, settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """Leave out settings of a part that are a former default and that the model does not read.

    Args:
        part: part of the settings.
        settings: what a file gives for it.
        kind: kind of the model.
    """
    return {
        name: value
        for name, value in settings.items()
        if spec_of(kind).knows(f"{part}.{name}") or FORMER.get(f"{part}.{name}") != value
    }
