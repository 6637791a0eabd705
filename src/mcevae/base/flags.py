"""Flags that are not called as their settings are, so that no two of them differ by a letter."""

from collections.abc import Sequence

FLAGS = {
    "code": "code-size",
    "colours": "channel-colours",
    "draws": "pose-draws",
    "mode": "supervision",
    "poses": "first-poses",
    "rotations": "angles",
    "tags": "with-tags",
}
"""The flag of a setting, where it is not the setting's own name."""
PRESENT = {**FLAGS, "channel": "channels"}
"""The present names of flags, by their old ones."""
SETTINGS = {flag: setting for setting, flag in FLAGS.items()}


def flag_of(setting: str) -> str:
    """The flag of a setting, without its two dashes: batch-size for batch_size."""
    return FLAGS.get(setting, setting).replace("_", "-")


def setting_of(flag: str) -> str:
    """The setting of a flag without its dashes: batch_size for batch-size."""
    return SETTINGS.get(flag, flag).replace("-", "_")


def present_flags(arguments: Sequence[str]) -> list[str]:
    """Give flags their present names, where they have old ones, such as those of their settings."""

    def present(argument: str) -> str:
        name, sign, value = argument.removeprefix("--").partition("=")
        known = argument.startswith("--") and name in PRESENT
        return f"--{PRESENT[name]}{sign}{value}" if known else argument

    return [present(argument) for argument in arguments]
