"""A recalled geometry for other programs: pyFAI's integrator, a PONI."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from ponikeeper.errors import NoGeometryError
from ponikeeper.geometry import poni as poni_text
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client.documents import integrator_of
from ponikeeper_client.recall._best_known import best_known
from ponikeeper_client.recall._histories import Histories
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._values import BestKnown, Geometries, Recorded, explained


def azimuthal_integrator(
    source: Any,
    *,
    detector: str | None = None,
    stream: str | None = None,
    event: int | None = None,
    best: bool = False,
    history: Histories | None = None,
    shape: Sequence[int] | None = None,
) -> Any:
    """Rebuild pyFAI's integrator of one geometry of a run, bit-exact in the nine numbers.

    Parameters
    ----------
    source
        A run, or what `recorded` or `best_known` gave of one.
    detector, stream, event
        Of this detector, this stream, the event of this number: needed where the run has several
        geometries that differ.
    best
        Of a run: what is known now, instead of what was recorded.
    history
        With `best`: exported histories to look in instead of asking the IOC.
    shape
        Shape (y, x) of the images. Given, the detector is made of that shape; else it is pyFAI's, and
        has to fit the images that the run tells of.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator

    Raises
    ------
    NoGeometryError
        There is none, or several would do: the message names them.
    ShapeError
        The detector does not have the shape of the images.
    MissingExtraError
        pyFAI is not installed.
    """
    found = the_one(source, detector, stream, event, best, history)
    images = None if shape is not None else recorded_of(found).image_shape
    return integrator_of(found.require_geometry(), images, shape)


def poni(source: Recorded | BestKnown) -> str:
    """Write a geometry as a PONI text, with comments that say where it comes from.

    Raises
    ------
    NoGeometryError
        There is none.
    ValueError
        It is no recalled geometry.
    """
    head = "".join(f"# {line}\n" for line in origin(one(source)))
    return head + poni_text.write(source.require_geometry())


def write_poni(source: Recorded | BestKnown, path: str | Path) -> None:
    """Write a geometry to a PONI file, in place of one that is there; raises as `poni`."""
    write_atomic(Path(path), poni(source).encode("ascii"))


def origin(source: Recorded | BestKnown) -> list[str]:
    """Say in lines of ASCII where a geometry comes from."""
    recorded = recorded_of(source)
    lines = [f"of run {recorded.run_uid}, {recorded.detector} {recorded.place}"]
    if source.uid is not None:
        of = f" of {recorded.prefix}" if recorded.prefix else ""
        lines.append(f"revision {source.revision}{of}, uid {source.uid}, {source.checksum}")
    else:
        lines.append(recorded.told)
    if isinstance(source, BestKnown):
        lines += [f"recorded was revision {recorded.revision}, uid {recorded.uid}"] * source.changed
        lines += [explained(correction) for correction in source.chain]
        lines.append(f"as known to {source.authority}")
    return [to_ascii(" ".join(line.split())) for line in lines]


def one(source: Any) -> Recorded | BestKnown:
    """Give what is one recalled geometry as it is; raises `ValueError` where it is several, or a run."""
    if isinstance(source, (Recorded, BestKnown)):
        return source
    what = f"{len(source)} geometries are" if isinstance(source, Geometries) else f"a {type(source).__name__} is"
    raise ValueError(f"{what} given: expected one geometry of a run, such as recorded(run)[0] or best_known(run)[0]")


def recorded_of(source: Recorded | BestKnown) -> Recorded:
    """Give what was recorded, of what is known too."""
    return source if isinstance(source, Recorded) else source.recorded


Found = TypeVar("Found", Recorded, BestKnown)


def the_one(
    source: Any,
    detector: str | None = None,
    stream: str | None = None,
    event: int | None = None,
    best: bool = False,
    history: Histories | None = None,
) -> Recorded | BestKnown:
    """Give the one geometry that is meant.

    Parameters
    ----------
    source
        A run, or what `recorded` or `best_known` gave of one.
    detector, stream
        Of this detector, of this stream alone.
    event
        That of the event of this number in the stream.
    best
        Of a run: what is known now, instead of what was recorded.
    history
        With `best`, as for `best_known`.

    Raises
    ------
    NoGeometryError
        None is left, or several that differ are.
    ValueError
        An argument is none that could be meant.
    """
    if isinstance(event, bool) or not (event is None or hasattr(event, "__index__")):
        raise ValueError(f"event={event!r} is no number of an event: expected 1, 2, ...")
    if history is not None and not best:
        raise ValueError("history= is given without best=True: what was recorded is asked of the run alone")
    if isinstance(source, (Recorded, BestKnown)):
        found: Sequence[Recorded | BestKnown] = [source]
    elif isinstance(source, Geometries):
        found = source
    else:
        found = best_known(source, detector, stream, history=history) if best else recorded(source, detector, stream)
    chosen = [each for each in found if detector in (None, each.detector) and stream in (None, each.stream)]
    if event is not None:
        chosen = [each for each in chosen if event in each.seq_nums]
    if not chosen:
        there = "; ".join(_named(each) for each in found) or "none at all"
        raise NoGeometryError(f"no geometry of {_asked(detector, stream, event)} was recorded: recorded are {there}")
    if len({(each.geometry, _shape(each)) for each in chosen}) > 1:
        told = "; ".join(_named(each) for each in chosen)
        raise NoGeometryError(f"several geometries would do: say detector=, stream= or event= ({told})")
    return chosen[0]


def _asked(detector: str | None, stream: str | None, event: int | None) -> str:
    asked = (detector, stream, None if event is None else f"event {event}")
    return " ".join(part for part in asked if part) or "the run"


def _named(each: Recorded | BestKnown) -> str:
    return f"{each.detector} {each.place}: {each.told}"


def _shape(each: Recorded | BestKnown) -> tuple[int, int] | None:
    return (each if isinstance(each, Recorded) else each.recorded).image_shape
