"""Simulated images: the true geometry is found for any detector and calibrant; others are refused."""

import numpy as np
import pytest

from ponikeeper.errors import FitError, ImageError, ShapeError
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image, measure_image
from powder import Scene, displaced, off_px, on_detector

CLOSE = 0.05
SIDE = 512
TRUTH = on_detector("Perkin", 8e-4, 0.5, (0.47, 0.53), (1, -0.7))


@pytest.fixture(scope="module")
def nickel():
    return Scene(TRUTH).image()


def fit(scene, seed=0, **options):
    start = displaced(scene.truth, np.random.default_rng(seed))
    return fit_image(scene.image(), start, calibrant(scene.calibrant), **options)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_the_true_geometry_is_found_in_every_orientation(orientation):
    truth = on_detector("Perkin", 8e-4, 0.5, (0.42, 0.61), (1, -0.7), orientation=orientation)
    result = fit(Scene(truth, width=2.5))
    assert result.problems == ()
    assert off_px(truth, result.geometry) < CLOSE
    assert result.geometry.orientation == orientation


@pytest.mark.parametrize(
    ("scene", "seen"),
    [
        (Scene(on_detector("Pilatus1M", 1.72e-4, 0.2, (0.4, 0.6), (3, -5), 4e-11), "CeO2"), "tilted, with gaps"),
        (Scene(on_detector("Pilatus1M", 1.72e-4, 0.25, (0.5, 1.02), (3, -2), 7e-11), "LaB6"), "centre at the edge"),
        (Scene(on_detector("Pilatus1M", 1.72e-4, 0.3, (1.2, 1.3), (3, -2), 4e-11), "LaB6"), "centre off the detector"),
        (Scene(on_detector("Eiger1M", 7.5e-5, 0.1, (0.3, -0.3), (5, 2), 3e-11), "Si"), "small pixels"),
        (Scene(on_detector("Pilatus300k", 1.72e-4, 0.6, (0.5, 0.5), (1, 1), 1.2e-10), "AgBh", counts=10), "weak"),
        (Scene(on_detector("Pilatus300k", 1.72e-4, 0.1, (0.5, 0.5), (1, 1), 4e-11), "CeO2", spots=0.4), "spotty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_true_geometry_is_found_from(scene, seen):
    result = fit(scene)
    assert result.problems == ()
    assert off_px(scene.truth, result.geometry) < (2 if seen in ("weak", "spotty") else 1) * CLOSE


def test_progress_ends_with_everything_done(nickel):
    reports = []
    fit_image(nickel, TRUTH, calibrant("Ni"), progress=lambda done, what: reports.append((done, what)))
    shares = [done for done, _ in reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert all(what for _, what in reports)


def test_two_fits_of_one_image_are_the_same_to_the_last_bit(nickel):
    one, other = (fit_image(nickel, TRUTH, calibrant("Ni")).geometry for _ in range(2))
    assert one == other


def test_provenance_of_a_fit_is_complete(nickel):
    result = fit_image(nickel, TRUTH, calibrant("Ni"))
    provenance = result.provenance()
    assert provenance["calibrant"] == "Ni"
    assert provenance["n_points"] == len(result.refined.points) > 100
    assert provenance["n_rings"] == len(result.rings) > 5
    assert 0 < provenance["residual_px"] < 0.2
    assert set(provenance["sigma"]) == {"dist", "poni1", "poni2", "rot1", "rot2", "wavelength"}
    assert result.require_accepted() == result.geometry


def test_a_measured_geometry_is_not_changed_and_a_wrong_one_has_problems(nickel):
    sound = measure_image(nickel, TRUTH, calibrant("Ni"))
    assert (sound.geometry, sound.problems) == (TRUTH, ())
    assert "sigma" not in sound.provenance()
    wrong = displaced(TRUTH, np.random.default_rng(1))
    assert measure_image(nickel, wrong, calibrant("Ni")).problems


def _radius():
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.hypot(y - 240, x - 272)


def _noisy(mean):
    return np.random.default_rng(7).poisson(np.broadcast_to(mean, (SIDE, SIDE))).astype(np.uint16)


HOSTILE = {
    "noise": lambda: _noisy(100.0),
    "a smooth blob": lambda: _noisy(1000 * np.exp(-((_radius() / 200) ** 2))),
    "the rings of a liquid": lambda: _noisy(
        200 + 100 * np.exp(-(((_radius() - 70) / 20) ** 2)) + 60 * np.exp(-(((_radius() - 130) / 30) ** 2))
    ),
    "rings at random": lambda: _noisy(
        50 + sum(200 * np.exp(-(((_radius() - at) / 2) ** 2)) for at in np.random.default_rng(3).uniform(40, 230, 9))
    ),
    "rings at even steps": lambda: _noisy(20 + 300 * np.exp(-(((_radius() % 40 - 20) / 2) ** 2))),
    "stripes": lambda: _noisy(100 * (1 + np.cos(np.arange(SIDE) / 5))),
    "one ring": lambda: _noisy(20 + 500 * np.exp(-(((_radius() - 51) / 2) ** 2))),
}


SLOW = {
    "noise",  # as in test_blind and test_identify
    "rings at even steps",  # the search takes as long as for rings at random
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.campaign] * (name in SLOW)) for name in HOSTILE]
)
def test_an_image_without_the_standard_is_refused_with_the_reason(name):
    with pytest.raises(FitError) as error:
        fit_image(HOSTILE[name](), TRUTH, calibrant("Ni")).require_accepted()
    assert all(error.value.problems)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((SIDE, SIDE), np.uint16), None),
        (np.full((SIDE, SIDE), 65535, np.uint16), "masked, saturated or negative"),
        (np.full((SIDE, SIDE), -1, np.int32), "masked, saturated or negative"),
        (np.full((SIDE, SIDE), np.nan), "finite"),
        (np.full((SIDE, SIDE), 3.5), None),
    ],
)
def test_an_image_that_shows_nothing_is_refused(image, said):
    with pytest.raises((FitError, ImageError), match=said):
        fit_image(image, TRUTH, calibrant("Ni")).require_accepted()


def test_an_image_of_another_shape_than_the_detector_is_refused(nickel):
    with pytest.raises(ShapeError):
        fit_image(nickel[:, :-1], TRUTH, calibrant("Ni"))


def test_an_array_that_is_not_an_image_and_a_mask_of_another_shape_are_refused(nickel):
    with pytest.raises(ImageError, match="two dimensions"):
        fit_image(nickel[None], TRUTH, calibrant("Ni"))
    with pytest.raises(ImageError, match="mask has shape"):
        fit_image(nickel, TRUTH, calibrant("Ni"), mask=np.zeros((3, 3)))
    with pytest.raises(ImageError, match="every pixel is masked"):
        fit_image(nickel, TRUTH, calibrant("Ni"), mask=np.ones_like(nickel))


def test_hot_pixels_flags_and_not_finite_ones_do_no_harm():
    image = Scene(TRUTH, width=2.5).image().astype(float)
    random = np.random.default_rng(1)
    for value in (np.nan, np.inf, -1e9, 1e9):
        image.flat[random.integers(0, image.size, 500)] = value
    result = fit_image(image, TRUTH, calibrant("Ni"))
    assert result.problems == ()
    assert off_px(TRUTH, result.geometry) < CLOSE


@pytest.mark.parametrize("dtype", ["U1", "complex128", "datetime64[s]", "bool"])
def test_an_array_without_numbers_is_refused(dtype):
    with pytest.raises(ImageError):
        fit_image(np.zeros((SIDE, SIDE), dtype), TRUTH, calibrant("Ni"))


def test_an_image_with_saturated_inner_rings_is_right_or_refused():
    scene = Scene(TRUTH, width=2.5, counts=3000)
    image = np.minimum(scene.image(), 1500)
    assert np.count_nonzero(image == 1500) > 1000
    result = fit_image(image, displaced(TRUTH, np.random.default_rng(2)), calibrant("Ni"))
    assert not result.accepted or off_px(TRUTH, result.geometry) < 2 * CLOSE
