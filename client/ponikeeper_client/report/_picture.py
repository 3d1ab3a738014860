"""The picture of an event: its image with rings of its geometry, and its integrated pattern."""

from typing import Any

import numpy as np

from ponikeeper.errors import MissingExtraError
from ponikeeper_client._figures import new_figure, png
from ponikeeper_client.images import frames_of
from ponikeeper_client.recall._integration import integrated, run_images
from ponikeeper_client.recall._runs import Run
from ponikeeper_client.recall._values import Recorded

_USUAL = {"npt": 1000, "unit": "2th_deg"}
"""Settings of a revision that has none."""

_DPI = 80


def draw(run: Any, whole: Run, part: Recorded) -> bytes:
    """Draw the first event that a geometry covers.

    Parameters
    ----------
    run, whole
        The run of a catalog, and what `read_run` returned of it.
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
        from matplotlib.ticker import MaxNLocator

        from ponikeeper_client.fit.figure import show_rings
        from ponikeeper_client.recall import azimuthal_integrator
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "matplotlib") from error
    number = part.seq_nums[0]
    numbers = [event.seq_num for section in whole.streams[part.stream] for event in section.events]
    column = run_images(run, whole, part.detector, part.stream, len(numbers))
    frame = frames_of(column, numbers.index(number), len(numbers), f"the images of event {number}").mean(axis=0)
    integrator, settings = azimuthal_integrator(part, any_status=True, shape=frame.shape), part.integration or _USUAL
    pattern = integrated(integrator, frame, settings)
    two_theta = np.degrees(integrator.array_from_unit(frame.shape, unit="2th_rad"))
    figure = new_figure(13, 5.5, dpi=_DPI)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    angles = MaxNLocator(8).tick_values(float(two_theta.min()), float(two_theta.max()))
    show_rings(left, frame, two_theta, np.asarray(angles[1:-1]))
    left.set(title=f"image; upper half: 2 theta of {', '.join(f'{angle:g}' for angle in angles[1:-1])} deg")
    right.plot(pattern.radial, pattern.intensity, color="black", linewidth=1.0)
    right.set(xlabel=str(settings["unit"]), ylabel="intensity", title="integrated")
    return png(figure)
