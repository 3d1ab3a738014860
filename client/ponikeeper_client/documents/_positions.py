"""Where the linked PVs were when an event was read: which columns of the events have their values. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from ponikeeper.protocol.link_units import Egu, conversion, converted, is_unit

_SCHEMES = ("PV:", "ca://", "pva://")
_VALUE, _READBACK = ".VAL", ".RBV"
_FIELD = re.compile(r"\.[A-Z0-9]{1,4}$", re.ASCII)


def matched_keys(data_keys: Mapping[str, Mapping[str, Any]], pvs: Mapping[str, str]) -> dict[str, str]:
    """Return which data keys have the values of linked PVs, by their ``source``.

    Parameters
    ----------
    data_keys
        Of an event descriptor.
    pvs
        The PV of each link, by the name of the link.

    Returns
    -------
    dict
        The data key of each link that has one. A source is the PV itself (``m1.RBV``), with or without ``.VAL``; where
        the link is a bare record (``m1``), its ``.RBV`` too. The setpoint of a motor is not its readback, and is never
        taken for it. Simulated motors have no PV.
    """
    sources = {_pv(str(data_key.get("source", ""))): key for key, data_key in reversed([*data_keys.items()])}
    found: dict[str, str] = {}
    for link, pv in pvs.items():
        bare = pv.removesuffix(_VALUE)
        key = sources.get(bare) or (None if _FIELD.search(bare) else sources.get(bare + _READBACK))
        if key is not None:
            found[link] = key
    return found


def in_units_of_joint(
    value: float,
    data_key: Mapping[str, Any],
    units: str,
    *,
    measures_beam: bool = False,
    read_by_ioc: bool = False,
) -> float | None:
    """Convert what an event has of a link to the units of the model.

    Parameters
    ----------
    value
        The value.
    data_key
        Of the descriptor, with its ``units``; where it has none, those of the model hold. Channel Access cuts them.
    units
        Of the model.
    measures_beam
        Whether the link is an energy or a wavelength.
    read_by_ioc
        Whether the IOC read the same PV: a word of the site for its units then means those of the model, since the IOC
        is configured for it.

    Returns
    -------
    float or None
        None where the units cannot be converted.
    """
    reported = data_key.get("units") or data_key.get("egu")
    if not isinstance(reported, str) or not reported.strip():
        return value
    egu = Egu(reported.strip(), is_cut=True)
    if read_by_ioc and not is_unit(egu):
        return value
    factor = conversion(egu, units, measures_beam=measures_beam)
    return None if factor is None else converted(value, factor)


def _pv(source: str) -> str:
    scheme = next((scheme for scheme in _SCHEMES if source.startswith(scheme)), None)
    return "" if scheme is None else source.removeprefix(scheme).removesuffix(_VALUE)
