"""What differs between two versions of a configuration, beyond the access rules: it counts after a restart. Pure."""

from collections.abc import Mapping
from typing import Any

from ponikeeper.config import Config


def pending_changes(running: Config, written: Config) -> list[str]:
    """Name what a restart would change.

    Parameters
    ----------
    running
        The configuration that is served.
    written
        The configuration that the file has now.

    Returns
    -------
    list of str
        A text for each table that differs, such as ``detector P: limits, link``; empty if only the access rules, which
        are reloaded, or nothing differs.
    """
    pairs = {"ioc": (running.ioc, written.ioc), "pva": (running.pva, written.pva)}
    differing = {name: _differing(one.model_dump(), other.model_dump()) for name, (one, other) in pairs.items()}
    texts = [f"{name}: {keys}" for name, keys in differing.items() if keys]
    before, after = ({each.prefix: each.model_dump() for each in config.detector} for config in (running, written))
    for prefix in dict.fromkeys([*before, *after]):
        if prefix not in after:
            texts.append(f"detector {prefix} is gone")
        elif prefix not in before:
            texts.append(f"detector {prefix} is new")
        elif keys := _differing(before[prefix], after[prefix]):
            texts.append(f"detector {prefix}: {keys}")
    if not texts and [*before] != [*after]:
        texts.append("the order of the detectors")
    return texts


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(key for key in one if one[key] != other[key])
