"""Pixels and gaps of detectors: the packaged table agrees with pyFAI, and the rest is left to pyFAI."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pyFAI.detectors import detector_factory

from make_detector_table import PANELS, as_text, make_panels
from ponikeeper.errors import ImageError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit import _panel
from ponikeeper_client.fit._panel import panel_of, point_of, shape_of

TABLE = json.loads(PANELS.read_text(encoding="ascii"))
ROWS = {json.dumps(row): name for name, row in TABLE.items() if row[0] * row[1] < 3e6}
"""A name of each kind of panel that is not large."""


def geometry(name, orientation=3, pixel=None, **config):
    built = detector_factory(name) if pixel is None else None
    sizes = (built.pixel1, built.pixel2) if built else pixel
    return Geometry(0.2, 0, 0, 0, 0, 0, *sizes, 1e-11, name, {"orientation": orientation, **config})


def pyfai(name, orientation, pixel=None, shape=None):
    config = {"orientation": orientation}
    if shape:
        config |= {"pixel1": pixel[0], "pixel2": pixel[1], "max_shape": list(shape)}
    return detector_factory(name, config)


def test_packaged_table_is_the_one_of_pyfai():
    assert PANELS.read_text(encoding="ascii") == as_text(make_panels())


@pytest.fixture
def table_only(monkeypatch):
    """Fail if a panel is not built by the table."""
    monkeypatch.setattr(_panel, "azimuthal_integrator", None)


@pytest.mark.usefixtures("table_only")
@pytest.mark.parametrize("name", sorted(ROWS.values()))
def test_pixels_and_gaps_are_where_pyfai_has_them(name):
    for orientation in (1, 2, 3, 4):
        theirs = pyfai(name, orientation)
        assert_same(panel_of(geometry(name, orientation), tuple(theirs.shape)), theirs)


@pytest.mark.usefixtures("table_only")
@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_a_generic_detector_has_the_shape_of_the_image(orientation):
    shape, pixel = (30, 47), (1e-4, 1.5e-4)
    theirs = pyfai("Detector", orientation, pixel, shape)
    for config in ({}, {"max_shape": list(shape)}):
        assert_same(panel_of(geometry("Detector", orientation, pixel, **config), shape), theirs)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["Pilatus300k", "Perkin"])
@pytest.mark.parametrize("pixel", [(0.0, 0.0), (100.25, 33.0), (-40.0, 3000.0)])
def test_a_place_in_the_image_is_where_pyfai_has_it(monkeypatch, name, orientation, pixel):
    shape = tuple(detector_factory(name).shape)
    ours = [point_of(geometry(name, orientation), shape, pixel)]
    monkeypatch.setattr(_panel, "_tabled", lambda *_: None)
    ours.append(point_of(geometry(name, orientation), shape, pixel))
    assert ours[0] == pytest.approx(ours[1], rel=2e-7)


@pytest.mark.parametrize(("name", "shape"), [("Mar165", (4096, 4096)), ("Xpad_flat", (960, 560))])
def test_a_round_panel_and_pixels_of_several_sizes_are_those_of_pyfai(name, shape):
    assert name.lower() not in TABLE
    assert_same(panel_of(geometry(name), shape), pyfai(name, 3))


def test_a_binned_panel_is_that_of_pyfai():
    panel = panel_of(geometry("Perkin", pixel=(4e-4, 4e-4)), (1024, 1024))
    assert panel.y.shape == (1024, 1024)
    assert panel.y[:, 0] == pytest.approx((np.arange(1024) + 0.5) * 4e-4)


@pytest.mark.parametrize("name", ["Pilatus1M", "Perkin"])
def test_an_image_of_another_shape_is_refused(name):
    with pytest.raises(ShapeError, match="is it binned, turned, or another detector"):
        panel_of(geometry(name), (981, 1043))


def test_a_generic_detector_of_another_shape_is_refused():
    with pytest.raises(ShapeError):
        panel_of(geometry("Detector", pixel=(1e-4, 1e-4), max_shape=[10, 20]), (20, 10))


def test_a_curved_detector_is_refused():
    with pytest.raises(ImageError, match="is curved"):
        panel_of(geometry("Aarhus"), (1000, 16000))


@pytest.mark.parametrize(
    ("detector", "shape"),
    [
        (geometry("Pilatus1M"), (1043, 981)),
        (geometry("PILATUS 1M"), (1043, 981)),
        (geometry("Perkin", pixel=(4e-4, 4e-4)), None),
        (geometry("Detector", pixel=(1e-4, 1e-4)), None),
        (geometry("Detector", pixel=(1e-4, 1e-4), max_shape=[10, 20]), (10, 20)),
        (geometry("Perkin", pixel=(4e-4, 4e-4), max_shape=[1024, 1024]), (1024, 1024)),
    ],
)
def test_shape_of_the_images_is_looked_up(detector, shape):
    assert shape_of(detector) == shape


def test_table_needs_no_pyfai():
    code = (
        "import sys\nfrom ponikeeper.geometry import Geometry\nfrom ponikeeper_client.fit._panel import panel_of\n"
        "panel_of(Geometry(0.2, 0, 0, 0, 0, 0, 172e-6, 172e-6, 1e-11, 'Pilatus1M', {}), (1043, 981))\n"
        "print('pyFAI' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def assert_same(panel, theirs):
    y, x, _ = theirs.calc_cartesian_positions()
    np.testing.assert_allclose(panel.y, y, rtol=2e-7)
    np.testing.assert_allclose(panel.x, x, rtol=2e-7)
    gaps = np.zeros(panel.y.shape, bool) if panel.gaps is None else panel.gaps
    hidden = np.zeros(panel.y.shape, bool) if theirs.mask is None else np.asarray(theirs.mask) != 0
    assert (gaps == hidden).all()
