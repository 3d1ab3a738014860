"""Commits decided against an active revision, without a store or a socket: what the tests of the rules share."""

from collections.abc import Sequence
from typing import Any

import pytest

from ponikeeper.detector.commit_rules import decide_commit
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Revision
from ponikeeper.protocol import Commit, LinkState
from ponikeeper.store import Draft
from strategies import VALUES

UNITS = {"z": "mm", "energy": "keV"}
FIT = {"method": "fit", "residual_px": 0.04, "sigma": {"dist": 1e-6}, "author": "alice", "derived_from": 2}
POSITION = {"z": {"value": 1000.0, "units": "mm"}, "energy": {"value": 75.0, "units": "keV"}}


def active(geometry: Geometry | None = None, **more: Any) -> Revision:
    """Return revision 7, a fit that is labelled near; `more` changes it."""
    values: dict[str, Any] = {"label": "near", "position": {}, "provenance": FIT} | more
    geometry = Geometry.parse(VALUES) if geometry is None else geometry
    return Revision(7, "uid", "2026-11-22T09:30:01.250000Z", geometry=geometry, checksum="sha256:", **values)


def decide(
    revision: Revision | None,
    commit: Commit,
    limits: Any = None,
    units: Any = None,
    links: Sequence[LinkState] = (),
    **options: Any,
) -> Draft:
    """Decide a commit of bob."""
    return decide_commit(revision, commit, "bob@host", limits or {}, units or {}, links, **options)


def links_now(z: float | None = 1000.0, energy: float | None = 75.0, **more: Any) -> tuple[LinkState, ...]:
    """Return two links at rest; `more` changes the first one."""
    values: dict[str, Any] = {"moving": False, "connected": True} | more
    return (
        LinkState("z", "Z.RBV", "motor", "mm", 0.05, z, None, **values),
        LinkState("energy", "E", "energy", "keV", 1e-4, energy, None, False, True),
    )


def edit(**values: object) -> Commit:
    """Return the commit of a put to setpoints, or of staged values."""
    return Commit(values, {"method": "manual"}, edit=True)


def problems(*arguments: Any, **options: Any) -> tuple[str, ...]:
    """Return why a commit is refused; parameters as `decide`."""
    with pytest.raises(RefusedError) as caught:
        decide(*arguments, **options)
    return caught.value.problems
