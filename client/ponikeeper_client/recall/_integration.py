"""Integrate the images of a run with the geometry, the mask and the settings that were recorded with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponikeeper.errors import ImageError, IntegrationError, NoGeometryError
from ponikeeper.protocol.integration import EXAMPLE, integration_problems, integration_text
from ponikeeper.text.strictjson import canonical, dumps, plain
from ponikeeper_client.documents import integrator_of
from ponikeeper_client.recall._geometries import geometries
from ponikeeper_client.recall._histories import Histories
from ponikeeper_client.recall._runs import Run
from ponikeeper_client.recall._sources import read_run
from ponikeeper_client.recall._values import BestKnown

Settings = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The integrated image of one event.

    Parameters
    ----------
    seq_num
        Number of the event.
    radial
        Shape (npt,), in `unit`.
    intensity
        Shape (npt,), of the mean of the event's frames, corrected as the settings say.
    sigma
        Standard deviation of the intensity, shape (npt,); None where the settings have no error model.
    unit
        Unit of the radial axis.
    settings
        The settings that were used.
    geometry
        The geometry that was used, with its revision and status.
    """

    seq_num: int
    radial: NDArray[Any] = field(repr=False)
    intensity: NDArray[Any] = field(repr=False)
    sigma: NDArray[Any] | None = field(repr=False)
    unit: str
    settings: Settings
    geometry: BestKnown = field(repr=False)


def integrate(
    run: Any,
    detector: str | None = None,
    stream: str = "primary",
    *,
    event: int | None = None,
    key: str | None = None,
    images: ArrayLike | None = None,
    dark: ArrayLike | None = None,
    settings: Settings | None = None,
    best: bool = False,
    history: Histories | None = None,
    any_status: bool = False,
) -> list[Pattern]:
    """Integrate the images of a run azimuthally, with exactly the settings that are recorded with its geometry.

    Each event is integrated with its own geometry, with the mask of its revision, and with the integration settings
    that were committed with it. A method that pyFAI does not have here is an error: pyFAI would use another one.

    Parameters
    ----------
    run
        The run of a catalog, ``catalog[uid]``; its documents, where `images` are given.
    detector
        The detector; needed where the stream has several.
    stream
        Name of the stream.
    event
        Number of the only event to integrate; None for all.
    key
        Data key of the images; needed where the detector has several.
    images
        The images instead of those in the catalog, one for each event, shape (events, y, x) or (events, n, y, x).
    dark
        A dark image that is subtracted from each frame, shape (y, x).
    settings
        The settings to use instead of those in the record.
    best, history
        As for `geometries`: corrections are followed. The settings are then those of the right revision.
    any_status
        Integrate also where the geometry does not apply.

    Returns
    -------
    list of Pattern
        One for each event, in their order.

    Raises
    ------
    NoGeometryError, NotConnectedError, HistoryError, ValueError
        As `geometries`; or an event has no geometry; or there is no such event, or several detectors.
    NotValidError
        The geometry of an event does not apply.
    IntegrationError
        The revision has no settings, or pyFAI cannot integrate with them here.
    ImageError
        The images cannot be read, or their number is not that of the events.
    ShapeError, GeometryFileError
        As `azimuthal_integrator`.
    MissingExtraError
        pyFAI is not installed.

    Examples
    --------
    >>> (pattern,) = integrate(catalog[uid], event=3)
    >>> pattern.radial, pattern.intensity, pattern.unit
    """
    wanted = None if settings is None else _checked(settings)
    whole = read_run(run)
    results = geometries(whole, detector, stream, best=best, history=history)
    device = _only_detector(results, stream)
    if event is not None and event not in (numbers := [result.recorded.seq_nums[0] for result in results]):
        raise NoGeometryError(f"{stream} has no event {event}: expected {min(numbers)} to {max(numbers)}")
    if images is None:
        column = run_images(run, whole, device, stream, len(results), key)
    else:
        column = _given_images(images, len(results))
    return list(_patterns(results, column, event, wanted, _dark_image(dark), any_status))


def _only_detector(results: Sequence[BestKnown], stream: str) -> str:
    """Return the name of the detector; raises `NoGeometryError` unless there is one, with one calibration."""
    devices = sorted({result.detector for result in results})
    if len(devices) > 1:
        raise NoGeometryError(f"{stream} has the detectors {', '.join(devices)}: give one of them as detector=")
    calibrations = sorted({result.recorded.calib for result in results})
    if len(calibrations) > 1:
        raise NoGeometryError(f"{devices[0]} has several calibrations, {', '.join(calibrations)}: expected one")
    return devices[0]


def _checked(settings: Settings) -> Settings:
    problems = integration_problems(plain(settings))
    if problems:
        raise IntegrationError("; ".join(problems))
    return settings


def run_images(run: Any, whole: Run, device: str, stream: str, events: int, key: str | None = None) -> Any:
    """Return the images of a detector in a run of a catalog, without reading them; errors as `images_of`.

    Parameters
    ----------
    run, whole
        The run of a catalog, and what `read_run` returned of it.
    device, stream
        The detector, and the stream.
    events
        The number of events.
    key
        Data key of the images; needed where the detector has several.
    """
    from ponikeeper_client.images import image_key, images_of

    return images_of(run, stream, image_key(whole.streams[stream][0].descriptor, device, key), events)


def _given_images(images: ArrayLike, events: int) -> NDArray[Any]:
    """Check the images that were given; raises `ImageError` unless there is a row for each event."""
    column = np.asarray(images)
    if column.ndim not in (3, 4) or len(column) != events:
        raise ImageError(
            f"images= has the shape {column.shape}: expected one image for each of the {events} events, "
            f"({events}, y, x) or ({events}, n, y, x)"
        )
    return column


def _dark_image(dark: ArrayLike | None) -> NDArray[Any] | None:
    """Return the mean of the dark frames; None where there are none."""
    if dark is None:
        return None
    from ponikeeper_client.images import as_frames

    return as_frames(dark, "dark=").mean(axis=0, dtype=np.float64)


def _patterns(
    results: Sequence[BestKnown],
    column: Any,
    event: int | None,
    settings: Settings | None,
    dark: NDArray[Any] | None,
    any_status: bool,
) -> Iterator[Pattern]:
    """Yield the pattern of each event; an integrator is kept as long as the geometry stays."""
    from ponikeeper_client.images import frames_of

    known, integrator = None, None
    for index, result in enumerate(results):
        number = result.recorded.seq_nums[0]
        if event is not None and number != event:
            continue
        geometry, used = result.require_geometry(any_status=any_status), settings or _recorded_settings(result)
        frames = frames_of(column, index, len(results), f"the images of event {number}")
        shape = (int(frames.shape[1]), int(frames.shape[2]))
        wanted = (geometry, canonical(plain(result.files)), shape)
        if wanted != known:
            known, integrator = wanted, integrator_of(geometry, shape, files=result.files)
        done = integrated(integrator, frames.mean(axis=0, dtype=np.float64), used, dark)
        sigma = done.sigma if used.get("error_model") else None
        yield Pattern(
            number, np.asarray(done.radial), np.asarray(done.intensity), sigma, str(used["unit"]), used, result
        )


def _recorded_settings(result: BestKnown) -> Settings:
    settings = result.integration
    if settings is None:
        raise IntegrationError(
            f"{result.detector} {result.scope}: revision {result.revision} has no integration settings: give "
            f"settings={dict(EXAMPLE)!r}, or commit some for later runs: ponikeeper integration PREFIX --set "
            f"'{dumps(plain(EXAMPLE))}'"
        )
    problems = integration_problems(settings)
    if problems:  # of a newer version, which has keys that are not known here
        raise IntegrationError(f"{result.detector} {result.scope}: revision {result.revision}: {'; '.join(problems)}")
    return settings


def integrated(integrator: Any, image: NDArray[Any], settings: Settings, dark: NDArray[Any] | None = None) -> Any:
    """Integrate one image with exactly these settings; return pyFAI's result, or raise `IntegrationError`."""
    arguments = dict(settings)
    method = cast("Sequence[str] | None", arguments.pop("method", None))
    if method is not None:
        _require_method(method)
        arguments["method"] = tuple(method)
    return integrator.integrate1d(image, **arguments, dark=dark)


def _require_method(method: Sequence[str]) -> None:
    """Check that pyFAI has a method here: it takes the nearest one instead, and only logs that it did."""
    from pyFAI.method_registry import IntegrationMethod

    split, algorithm, implementation = method
    if not IntegrationMethod.select_method(1, split, algorithm, implementation, degradable=False):
        text = integration_text({"method": method})
        known = IntegrationMethod.select_method(1)
        available = sorted({dumps([each.split, each.algo.lower(), each.impl]) for each in known})
        raise IntegrationError(f"{text} is not available in pyFAI here: expected one of {', '.join(available)}")
