"""The picture of an event: its image with rings of its geometry, and its integrated pattern."""

import io
from typing import Any

import numpy as np

from ponikeeper.errors import MissingExtraError
from ponikeeper_client.images import frames_of, image_key, images_of
from ponikeeper_client.recall import integrate
from ponikeeper_client.recall._sources import read_run
from ponikeeper_client.recall._values import Recorded

_USUAL = {"npt": 1000, "unit": "2th_deg"}
"""Settings of a revision that has none."""

_DPI = 80


def draw(run: Any, part: Recorded) -> bytes:
    """Draw the first event that a geometry covers.

    Parameters
    ----------
    run
        The run of a catalog.
    part
        A recorded geometry, with events.

    Returns
    -------
    bytes
        The content of a PNG file.

    Raises
    ------
    ImageError, ShapeError, GeometryFileError, IntegrationError
        The image cannot be read or integrated.
    MissingExtraError
        pyFAI or matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        from ponikeeper_client.fit.figure import show_rings
        from ponikeeper_client.recall import azimuthal_integrator
    except ModuleNotFoundError as error:
        raise MissingExtraError("plot", error.name or "matplotlib") from error
    whole, number = read_run(run), part.seq_nums[0]
    numbers = [event.seq_num for section in whole.streams[part.stream] for event in section.events]
    key = image_key(whole.streams[part.stream][0].descriptor, part.detector)
    column = images_of(run, part.stream, key, len(numbers))
    frame = frames_of(column, numbers.index(number), len(numbers), f"the images of event {number}").mean(axis=0)
    settings = part.integration or _USUAL
    (pattern,) = integrate(run, part.detector, part.stream, event=number, key=key, settings=settings, any_status=True)
    integrator = azimuthal_integrator(part, any_status=True, shape=frame.shape)
    two_theta = np.degrees(integrator.array_from_unit(frame.shape, unit="2th_rad"))
    figure = Figure(figsize=(13, 5.5), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    angles = MaxNLocator(8).tick_values(float(two_theta.min()), float(two_theta.max()))
    show_rings(left, frame, two_theta, np.asarray(angles[1:-1]))
    left.set(title=f"image; upper half: 2 theta of {', '.join(f'{angle:g}' for angle in angles[1:-1])} deg")
    right.plot(pattern.radial, pattern.intensity, color="black", linewidth=1.0)
    right.set(xlabel=pattern.unit, ylabel="intensity", title="integrated")
    content = io.BytesIO()
    canvas.print_png(content)
    return content.getvalue()
