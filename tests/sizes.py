"""Settings that train in seconds. Light to import, for processes that tests start."""

import dataclasses

from mcevae.models.config import PART_TYPES, PRESETS, Config


def tiny(**changes: object) -> Config:
    """Settings that train in a second; `changes` name fields of any part of the settings."""
    sizes = {"filters": (4, 8, 8, 8), "hidden": 32, "pose_hidden": 16, "decoder_hidden": 32}
    config = PRESETS["paper"]().changed(
        data={"source": "mnist-mini", "limit": 400},
        model={"clusters": 4, **sizes},
        train={"epochs": 2, "batch_size": 50, "lr": 3e-3},
    )
    return changed(config, changes)


def taught(**changes: object) -> Config:
    """Settings of the default preset that train in seconds; `changes` as for `tiny`."""
    start = {"templates": 8, "subset": 300, "neighbours": 8, "restarts": 2, "redraws": 2}
    config = Config().changed(
        data={"source": "mnist-mini", "limit": 400},
        model={"clusters": 3, "rotations": 24, "variation": 4, "hidden": 32},
        start=start,
        train={"epochs": 4, "batch_size": 50},
    )
    return changed(config, changes)


def changed(config: Config, changes: dict[str, object]) -> Config:
    """The settings with some fields changed, whichever part they are in."""
    parts = {}
    for name in PART_TYPES:
        part = getattr(config, name)
        own = {f.name for f in dataclasses.fields(part)} & set(changes)
        parts[name] = dataclasses.replace(part, **{key: changes.pop(key) for key in own})
    assert not changes, changes
    return dataclasses.replace(config, **parts)
