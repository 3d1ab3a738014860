"""The geometry of each event of a run whose detector moves: what the model gave at rest, or gives in between."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

from ponikeeper.errors import NoGeometryError
from ponikeeper_client.documents import calibrations
from ponikeeper_client.recall._histories import Histories, read_histories
from ponikeeper_client.recall._lookup import Lookup
from ponikeeper_client.recall._reading import require_names
from ponikeeper_client.recall._runs import Run
from ponikeeper_client.recall._sources import read_run
from ponikeeper_client.recall._travelled import EventGeometry, Options, TravelledDescriptor
from ponikeeper_client.recall._values import Geometries

_NO_KEYS: Mapping[str, str] = {}


def geometries(
    run: Any,
    detector: str | None = None,
    stream: str | None = None,
    *,
    position_keys: Mapping[str, str] = _NO_KEYS,
    exposure: float | str | None = None,
    best: bool = False,
    history: Histories | None = None,
    timeout: float = 5.0,
) -> Geometries[EventGeometry]:
    """Return the geometry of each event of a run, from where the detector was.

    A model gives another geometry at each position. What it gave where the links rested is returned as recorded, to the
    last bit: from the descriptor, or from `history`. For other positions it is computed, with its uncertainty. Events
    of a run without a model have the geometry that the run recorded, or with `best` the one that is right now.

    Parameters
    ----------
    run, detector, stream
        As for `recorded`.
    position_keys
        The data key that says where a link was, by the name of the link: ``{"z": "motor"}``. Needed where it is not
        found by the PV of the link, as of a simulated motor.
    exposure
        Exposure time (s), or the data key that has it. The position is then that in the middle of the exposure, by the
        timestamps of the readings, and the travel is in the uncertainty. The exposure ended when the event was made; in
        a flight, whose events are made at its end, at the timestamp of the reading. 0 takes the
        position as it was read, and so does None, unless the detector was exposed in flight or the guard recorded that
        it moved during the exposure.
    best
        Follow the corrections: what replaces a model is evaluated at the position of each event.
    history
        Exported histories, their files, what `read_history` returns, or a mirror in Tiled (its address or client). They
        have the recorded geometry of every rest, and the corrections. If omitted, the IOC or the mirror is asked with
        `best`, as `best_known` does; without `best` other rests than that of the descriptor are computed.
    timeout
        With `best`: how long the IOC may take to answer (s).

    Returns
    -------
    Geometries of EventGeometry
        One for each event, by stream, detector and event. One that has no geometry says why.

    Raises
    ------
    NoGeometryError
        As `recorded`; a name in `position_keys` or `exposure` is wrong; or no history has the revision of the run.
    NotConnectedError, HistoryError
        As `best_known`.
    ValueError
        The detector or the stream is not a name, `position_keys` are no names by names, or `exposure` is negative or no
        number.

    Examples
    --------
    >>> for one in geometries(catalog[uid], history="pe1.jsonl"):
    ...     integrator = azimuthal_integrator(one)
    """
    require_names(detector=detector, stream=stream)
    if not _is_exposure(exposure):
        raise ValueError(f"exposure={exposure!r} is not possible: expected seconds, 0 or more, or a data key")
    if not _is_by_name(position_keys):
        raise ValueError(
            f"position_keys={position_keys!r} is not possible: expected data keys by the names of links, "
            '{"z": "motor"}'
        )
    columns = [*position_keys.values(), *([exposure] if isinstance(exposure, str) else [])]
    whole = read_run(run, columns)
    histories = None if history is None else read_histories(history)
    lookup = Lookup(histories, timeout) if best or histories is not None else None
    options = Options(position_keys, exposure, best, lookup)
    descriptors = list(_descriptors(whole, options))
    found = [each for each in descriptors if each.is_of(detector, stream)]
    _require_known(found, options)
    results = [one for each in found for one in each.results()]
    if not results:
        wanted = "".join([f" of {detector}" if detector else "", f" in {stream}" if stream else ""])
        reasons = {section.events_unknown for sections in whole.streams.values() for section in sections} - {""}
        others = _names([each.of for each in descriptors])
        there = others and f": recorded are {others}"
        problem = f"run {whole.uid} has no event with a geometry{wanted}{there}"
        raise NoGeometryError("; ".join([problem, *sorted(reasons)]))
    return Geometries(results)


def _is_exposure(exposure: Any) -> bool:
    if exposure is None or isinstance(exposure, str):
        return True
    return isinstance(exposure, Real) and not isinstance(exposure, bool) and float(exposure) >= 0


def _is_by_name(keys: Any) -> bool:
    return isinstance(keys, Mapping) and all(isinstance(name, str) for pair in keys.items() for name in pair)


def _descriptors(run: Run, options: Options) -> Iterator[TravelledDescriptor]:
    """Yield what each descriptor of a run recorded of each calibration."""
    for stream, sections in run.streams.items():
        for section in sections:
            for calibration in calibrations(section.descriptor):
                yield TravelledDescriptor(run, stream, section, calibration, options)


def _require_known(found: Sequence[TravelledDescriptor], options: Options) -> None:
    """Check that there are links and data keys of the given names; raises `NoGeometryError`."""
    links = [link for each in found for link in each.links]
    if not links:
        return
    keys = [key for each in found for key in each.data_keys]
    for link, key in options.keys.items():
        given = f"position_keys={dict(options.keys)!r}"
        if link not in links:
            raise NoGeometryError(f"{given}: {link} is no link of the model; these are {_names(links)}")
        if key not in keys:
            raise NoGeometryError(f"{given}: the events have no {key}; they have {_names(keys)}")
    if isinstance(options.exposure, str) and options.exposure not in keys:
        raise NoGeometryError(f"exposure={options.exposure!r}: the events have no such key; they have {_names(keys)}")


def _names(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
