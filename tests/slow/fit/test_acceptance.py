"""Acceptance of a fit: for each reason there is an image that is rejected for it alone."""

from dataclasses import replace

import numpy as np
import pytest

from ponikeeper.errors import CalibrationError, FitError
from ponikeeper.protocol import AssumedErrors
from ponikeeper_client.fit._acceptance import (
    BLIND_START,
    CALIBRATED_START,
    NOMINAL_START,
    USUAL,
    Criteria,
    StartTolerance,
    problems,
    warnings,
)
from ponikeeper_client.fit._certainty import certainty
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import detector_point, geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import detected_rings
from ponikeeper_client.fit._refine import refine
from ponikeeper_client.fit.calibrants import Calibrant, calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import Scene, lines_of, on_detector

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
SCENE = Scene(TRUTH, "LaB6", counts=400, stop=0.0)
STANDARD = calibrant("LaB6")
LINES = STANDARD.lines(TRUTH.wavelength)
PARAMS = params_of(TRUTH)


@pytest.fixture(scope="module")
def image():
    return SCENE.image()


@pytest.fixture(scope="module")
def fitted(image):
    return fit_image(image, TRUTH, STANDARD)


@pytest.fixture(scope="module")
def frame(image):
    return Frame.of(image, TRUTH)


def only(reasons, expected):
    """Check that there is one reason and that it is the expected one; return it."""
    assert [reason.split(":")[0] for reason in reasons] == [expected], reasons
    return reasons[0]


def reasons_against(frame, points, lines=LINES, start=TRUTH, tolerance=CALIBRATED_START, params=PARAMS, criteria=USUAL):
    refined = refine(params, points, lines, frame.pixel)
    assert refined is not None
    sure = certainty(frame, refined, lines, geometry_of(refined.params, start), criteria.assumed)
    return problems(frame, refined, lines, sure, start, tolerance, criteria)


def points_on(lines, rings, scatter=0.05, sectors=60, params=PARAMS):
    line = np.repeat(np.array(rings), sectors)
    turn = np.tile(np.linspace(-np.pi, np.pi, sectors, endpoint=False), len(rings))
    noise = np.random.default_rng(5).normal(0, scatter, len(line)) * TRUTH.pixel1 / TRUTH.dist
    y, x = detector_point(params, lines[line] + noise * np.cos(lines[line]) ** 2, turn)
    return ControlPoints(y, x, line, turn, np.bincount(line, minlength=len(lines)))


def test_sound_fit_is_accepted(fitted, frame):
    assert fitted.accepted
    assert reasons_against(frame, fitted.refined.points) == []
    assert reasons_against(frame, points_on(LINES, range(8))) == []


def test_two_rings_do_not_determine_it(frame):
    message = only(reasons_against(frame, points_on(LINES, (1, 9))), "not determined")
    assert "on 2 rings" in message


def test_few_points_do_not_determine_it(frame):
    message = only(reasons_against(frame, points_on(LINES, range(4), sectors=6, scatter=0.01)), "not determined")
    assert "24 points" in message


def test_a_short_arc_does_not_determine_it(frame):
    points = points_on(LINES, range(10), scatter=0.3, sectors=400)
    arc = points.select(np.abs(points.azimuth) < 0.06)
    arc = replace(arc, measured_sectors=np.bincount(arc.line, minlength=len(LINES)))
    message = only(reasons_against(frame, arc), "not determined")
    assert "does not determine distance, tilt and centre" in message


def test_points_that_scatter_are_accepted_if_there_are_many(frame):
    """The scatter of a point says nothing of the geometry: many points determine it to a tenth of that."""
    assert reasons_against(frame, points_on(LINES, range(10), scatter=0.8)) == []


def test_a_ring_beside_its_line_is_not_precise(frame):
    """One of ten lines is not where the standard has it."""
    lines = LINES.copy()
    lines[5] += 1.0 * TRUTH.pixel1 / TRUTH.dist
    message = only(reasons_against(frame, points_on(lines, range(10), scatter=0.2)), "not precise")
    assert message.startswith("not precise: ring 6 lies ")


def test_rings_that_are_no_circles_are_not_precise(frame):
    points = points_on(LINES, range(10))
    wave = 0.5 * TRUTH.pixel1 * np.cos(3 * points.azimuth)
    bent = replace(points, y=points.y + wave * np.cos(points.azimuth), x=points.x + wave * np.sin(points.azimuth))
    undetermined, imprecise = reasons_against(frame, bent)
    assert "the residuals show a distortion of 0." in undetermined
    assert imprecise.startswith("not precise: ")
    assert "from circles about the beam" in imprecise


def test_limits_grow_with_the_distortion_of_the_detector(frame):
    lines = LINES.copy()
    lines[5] += 1.0 * TRUTH.pixel1 / TRUTH.dist
    tolerant = Criteria(AssumedErrors(distortion=0.4))
    assert reasons_against(frame, points_on(lines, range(10), scatter=0.2), criteria=tolerant) == []


def test_without_a_start_more_certainty_is_asked_for_and_the_message_says_that_a_distance_helps(frame):
    quarter = arc_of(1.5)
    assert reasons_against(frame, quarter) == []
    message = only(reasons_against(frame, quarter, criteria=Criteria(blind=True)), "not determined")
    assert "at most 0.3 px is allowed" in message
    assert "or start at a distance that is known from elsewhere, with which 0.4 px is allowed" in message
    assert reasons_against(frame, arc_of(2 * np.pi), criteria=Criteria(blind=True)) == []


def test_fit_without_a_start_that_is_accepted_for_a_part_says_for_which(image):
    """With a start it would be accepted for the whole panel."""
    mask = np.zeros(image.shape, bool)
    mask[int(0.22 * len(mask)) :] = True
    fitted = fit_image(image, TRUTH, STANDARD, mask=mask, tolerance=BLIND_START, criteria=Criteria(part=True))
    assert fitted.accepted
    assert 0.3 < fitted.certainty.panel_px < 0.4
    assert fitted.valid_within is not None


def arc_of(extent):
    """Control points of ten rings on an arc (rad), with little scatter."""
    points = points_on(LINES, range(10), scatter=0.02, sectors=400)
    part = points.select(np.abs(points.azimuth - 0.7) < extent / 2)
    return replace(part, measured_sectors=np.bincount(part.line, minlength=len(LINES)))


@pytest.fixture(scope="module")
def arc():
    """Control points on an arc of 50 degrees, whose scatter alone would determine the geometry."""
    return arc_of(0.9)


def test_an_arc_is_refused_and_the_message_says_where_it_would_be_valid(frame, arc):
    message = only(reasons_against(frame, arc), "not determined")
    assert "or accept it for a part of the panel, within" in message


def test_an_arc_is_accepted_for_the_part_of_the_panel_where_it_is_certain(frame, arc):
    criteria = Criteria(part=True)
    assert reasons_against(frame, arc, criteria=criteria) == []
    refined = refine(PARAMS, arc, LINES, frame.pixel)
    sure = certainty(frame, refined, LINES, geometry_of(refined.params, TRUTH), criteria.assumed)
    circle = sure.valid_within(criteria.max_uncertainty())
    inside = np.hypot(sure.samples[0] - circle.y, sure.samples[1] - circle.x) < circle.radius
    assert 0 < np.count_nonzero(inside) < inside.size
    assert sure.samples[2][inside].max() <= criteria.max_uncertainty() < sure.samples[2][~inside].max()


def test_missing_lines_are_of_another_standard(image):
    """Every second line of the declared calibrant is missing in the image."""
    middles = (np.array(STANDARD.spacings[1:12]) + np.array(STANDARD.spacings[:11])) / 2
    declared = Calibrant("declared", tuple(sorted((*STANDARD.spacings, *middles), reverse=True)))
    lines = declared.lines(TRUTH.wavelength)
    truly = points_on(lines, range(0, 21, 2))
    measured_sectors = np.where(np.arange(len(lines)) < 21, 60, 0)
    result = reasons_against(Frame.of(image, TRUTH), replace(truly, measured_sectors=measured_sectors), lines)
    assert "are visible" in only(result, "not this standard")


def test_rings_without_a_line_are_of_another_standard(image):
    """Every third line of the image is missing in the declared calibrant."""
    declared = Calibrant("declared", tuple(np.delete(STANDARD.spacings, np.s_[2::3])))
    result = fit_image(image, TRUTH, declared)
    assert "lie on none of its lines" in only(result.problems, "not this standard")


def test_rings_of_another_wavelength_are_reported(frame):
    lines = STANDARD.lines(TRUTH.wavelength * 1.03)
    points = points_on(LINES, range(12), scatter=0.02)
    flat = refine(PARAMS, points, lines, frame.pixel)
    assert flat.residual_px < 0.5, "the residual does not tell"
    wrong = replace(TRUTH, wavelength=TRUTH.wavelength * 1.03)
    exact = Criteria(AssumedErrors(wavelength=1e-4, distortion=0.02))
    message = only(reasons_against(frame, points, lines, wrong, criteria=exact), "not this wavelength")
    assert "the rings prefer 3.999" in message
    assert "A radial distortion of the detector of 0." in message


def test_wavelength_within_what_is_declared_is_accepted_with_a_warning(frame):
    """The same rings, with a wavelength that is declared to be known to 1.2 %: 2.3 standard deviations."""
    lines = STANDARD.lines(TRUTH.wavelength * 1.03)
    points = points_on(LINES, range(12), scatter=0.02)
    wrong = replace(TRUTH, wavelength=TRUTH.wavelength * 1.03)
    criteria = Criteria(AssumedErrors(wavelength=0.012, distortion=0.02))
    refined = refine(PARAMS, points, lines, frame.pixel)
    sure = certainty(frame, refined, lines, geometry_of(refined.params, wrong), criteria.assumed)
    assert problems(frame, refined, lines, sure, wrong, CALIBRATED_START, criteria) == []
    assert "the wavelength may be wrong: the rings prefer 3.999" in warnings(sure)[0]
    off = abs(geometry_of(refined.params, wrong).dist / TRUTH.dist - 1)
    assert off < 1.5 * sure.errors.sigma()["dist"] / TRUTH.dist
    assert warnings(None) == []


def test_rings_at_a_constant_ratio_are_ambiguous():
    """With each ring assigned to the next line it is the same image at another distance."""
    angles = np.arctan(np.tan(0.12) * 1.15 ** np.arange(9))
    spacings = tuple(TRUTH.wavelength / 2 / np.sin(angles / 2))
    facing = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (0, 0), 4e-11)
    scene = Scene(facing, spacings, counts=400, stop=0.0)
    result = fit_image(scene.image(), facing, Calibrant("geometric", spacings))
    assert "assigned to the neighbouring line" in only(result.problems, "ambiguous")


@pytest.mark.parametrize(
    ("tolerance", "start", "said"),
    [
        (StartTolerance(0.02, 120.0, 0.1), replace(TRUTH, dist=TRUTH.dist * 1.04), "at most 2 %"),
        (StartTolerance(0.1, 20.0, 0.1), replace(TRUTH, poni1=TRUTH.poni1 + 40 * TRUTH.pixel1), "20 px"),
        (StartTolerance(0.1, 500.0, 0.02), replace(TRUTH, rot1=TRUTH.rot1 + 0.05), "at most 10 %, 500 px, 1 deg"),
    ],
)
def test_a_result_too_far_from_its_start_is_refused(frame, tolerance, start, said):
    result = reasons_against(frame, points_on(LINES, range(8)), start=start, tolerance=tolerance)
    assert said in only(result, "far from the start")


@pytest.mark.parametrize(
    "part",  # the ordinary run has one nearer and one farther
    [0.5, pytest.param(0.8, marks=pytest.mark.campaign), 1.25, pytest.param(2.0, marks=pytest.mark.campaign)],
)
def test_a_start_at_a_very_different_distance_is_refused(image, part):
    with pytest.raises(FitError) as error:
        fit_image(image, replace(TRUTH, dist=part * TRUTH.dist), STANDARD).require_accepted()
    assert all(error.value.problems)


def test_a_nominal_start_reaches_farther_than_a_calibrated_one(image):
    start = replace(TRUTH, dist=1.2 * TRUTH.dist, poni1=0.05, poni2=0.04, rot1=0.0, rot2=0.0)
    assert not fit_image(image, start, STANDARD, tolerance=CALIBRATED_START).accepted
    assert fit_image(image, start, STANDARD, tolerance=NOMINAL_START).accepted


def test_ring_is_detected_if_enough_sectors_have_points():
    points = points_on(LINES, range(3))
    assert detected_rings(points) == (0, 1, 2)
    sparse = points.select((points.line != 1) | (np.arange(len(points)) % 60 < 2))
    assert detected_rings(sparse) == (0, 2)


def test_the_lines_of_the_scene_are_those_that_are_looked_for():
    assert LINES[:20] == pytest.approx(lines_of("LaB6", TRUTH.wavelength)[:20], rel=1e-9)


def test_criteria_have_the_wavelength_of_the_user():
    of_detector = AssumedErrors(0.01, 0.2, 0.3)
    assert Criteria.of(of_detector, None, part=False) == Criteria(of_detector)
    assert Criteria.of(of_detector, 1e-4, part=True) == Criteria(AssumedErrors(1e-4, 0.2, 0.3), part=True)
    for wrong in (-0.1, 5.0):
        with pytest.raises(CalibrationError, match=r"relative to it, 0 to 0\.2"):
            Criteria.of(of_detector, wrong, part=False)
