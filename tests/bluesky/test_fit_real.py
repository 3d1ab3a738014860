"""The fit on real images: right from any start, or refused with the reason.

The campaigns of `tests/campaigns/test_fit_starts.py` go on from here with many more starts.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from ponikeeper.errors import FitError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import NOMINAL_START
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image, measure_image
from powder import displaced, off_px, real_arc, real_ceria, real_nickel

SAME = 0.1
"""Two fits are the same if they agree within this (px rms over the detector)."""

RIGHT = 0.3


@pytest.fixture(scope="module")
def nickel(real_data):
    return real_nickel(real_data)


@pytest.fixture(scope="module")
def ceria(real_data):
    return real_ceria(real_data)


@pytest.fixture(scope="module")
def of_nickel(nickel):
    return fit(nickel)


@pytest.fixture(scope="module")
def of_ceria(ceria):
    return fit(ceria)


def fit(real, start=None, image=None, mask=None, standard=None, **options):
    return fit_image(
        real.image if image is None else image,
        start or real.published,
        calibrant(standard or real.calibrant),
        mask=real.mask if mask is None else mask,
        **options,
    )


def manifest(folder, real, name):
    """Return a published geometry of the nickel image."""
    (entry,) = (one for one in json.loads((folder / "manifest.json").read_text()) if one["name"] == "xpd_Ni")
    return replace(real.published, **entry["reference"][name])


def test_nickel_from_its_published_geometry(real_data, nickel, of_nickel):
    """The published geometry has a residual of 0.0092 deg; refined at the same wavelength 0.0049 deg (manifest)."""
    assert of_nickel.problems == ()
    assert np.degrees(of_nickel.refined.residual_rad) <= 0.005
    assert off_px(nickel.published, of_nickel.geometry) < 3
    assert off_px(manifest(real_data, nickel, "refined_wl_fixed"), of_nickel.geometry) < RIGHT


def test_nickel_with_the_wavelength_that_fits_best_is_the_geometry_that_was_found_with_it_free(real_data, nickel):
    free = manifest(real_data, nickel, "refined_wl_free")
    result = fit(nickel, free)
    assert result.problems == ()
    assert off_px(free, result.geometry) < SAME


def test_ceria_from_its_published_geometry(ceria, of_ceria):
    """The published one is within 0.15 px of centre by the manifest."""
    assert of_ceria.problems == ()
    assert np.degrees(of_ceria.refined.residual_rad) <= 0.0075
    assert off_px(ceria.published, of_ceria.geometry) < 0.15


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in (1, 2))]
"""Of the displacements; the campaign of fits has 50."""


@pytest.mark.parametrize("seed", SEEDS)
def test_nickel_comes_out_the_same_from_a_displaced_start(nickel, of_nickel, seed):
    result = fit(nickel, displaced(nickel.published, np.random.default_rng(seed)))
    assert result.problems == ()
    assert off_px(of_nickel.geometry, result.geometry) < SAME


@pytest.mark.parametrize("seed", SEEDS)
def test_ceria_comes_out_the_same_from_a_displaced_start(ceria, of_ceria, seed):
    result = fit(ceria, displaced(ceria.published, np.random.default_rng(seed)))
    assert result.problems == ()
    assert off_px(of_ceria.geometry, result.geometry) < SAME


def test_arguments_of_the_fit_are_not_changed(nickel, of_nickel):
    for name in ("rot3", "wavelength", "pixel1", "pixel2", "detector", "detector_config"):
        assert getattr(of_nickel.geometry, name) == getattr(nickel.published, name)


def test_nickel_needs_only_an_approximate_distance(nickel, of_nickel):
    start = replace(nickel.published, dist=0.27, poni1=0.2048, poni2=0.2048, rot1=0.0, rot2=0.0)
    result = fit(nickel, start, tolerance=NOMINAL_START)
    assert result.problems == ()
    assert off_px(of_nickel.geometry, result.geometry) < SAME


def test_measuring_distinguishes_the_published_geometry_from_a_wrong_one(nickel, of_nickel):
    """The published rotations are an old pyFAI's: 1.3 px off at the corners, the rings of the middle are right."""
    sound, published = (
        measure_image(nickel.image, geometry, calibrant("Ni"), mask=nickel.mask)
        for geometry in (of_nickel.geometry, nickel.published)
    )
    assert sound.problems == ()
    assert sound.refined.residual_px == pytest.approx(of_nickel.refined.residual_px, rel=0.5)
    assert sound.refined.residual_px < 0.75 * published.refined.residual_px
    far = replace(nickel.published, poni1=nickel.published.poni1 + 4 * nickel.published.pixel1)
    assert measure_image(nickel.image, far, calibrant("Ni"), mask=nickel.mask).problems
    assert sound.geometry == of_nickel.geometry


@pytest.mark.campaign  # the ordinary run has ceria declared as silicon, and simulated images under wrong names
def test_nickel_declared_as_aluminium_is_refused(nickel):
    """Aluminium has the same lattice, 15 % larger: every ring has a line, at another distance."""
    refused(nickel, standard="Al")


def test_ceria_declared_as_silicon_is_refused(ceria):
    """The lattices differ by 0.4 %: only the set of lines distinguishes them."""
    refused(ceria, standard="Si")


@pytest.mark.campaign  # the ordinary run has control points of another wavelength: tests/slow/fit/test_acceptance.py
def test_a_wavelength_that_is_5_percent_off_is_refused(nickel):
    refused(nickel, start=replace(nickel.published, wavelength=nickel.published.wavelength * 1.05))


@pytest.mark.parametrize("dist", [0.2, pytest.param(0.3, marks=pytest.mark.campaign)])
def test_one_short_arc_is_refused(real_data, dist):
    image, wavelength = real_arc(real_data)
    start = Geometry(dist, 0.0168, 0.1268, 0, 0, 0, 1.72e-4, 1.72e-4, wavelength, "Pilatus300kw")
    with pytest.raises(FitError):
        fit_image(image, start, calibrant("LaB6"), tolerance=NOMINAL_START).require_accepted()


HOSTILE_NICKEL = {
    **{
        f"as {name}": {"standard": name}
        for name in ("LaB6", "CeO2", "Si", "Au", "Pt", "AgBh", "diamond", "NaCl", "quartz", "Cr2O3", "alpha_Al2O3")
    },
    **{
        f"at {part} of the wavelength": {
            "start": lambda real, part=part: replace(real.published, wavelength=part * real.published.wavelength)
        }
        for part in (0.5, 0.95, 0.98, 1.05, 2)
    },
    **{
        f"{factor} times brighter": {"image": lambda real, factor=factor: brighter(real, factor)}
        for factor in (40, 100)
    },
    "transposed": {"image": lambda real: real.image.T.copy(), "mask": lambda real: real.mask.T.copy()},
    "upside down": {"image": lambda real: real.image[::-1].copy(), "mask": lambda real: real.mask[::-1].copy()},
    "without a mask": {"mask": lambda real: np.zeros_like(real.mask)},
    **{f"right of {cut}": {"mask": lambda real, cut=cut: beyond(real, cut)} for cut in (1500, 1700)},
    **{
        f"within {radius} px": {"mask": lambda real, radius=radius: outside(real, radius)} for radius in (120, 170, 250)
    },
    **{
        f"start at {part} of the distance": {
            "start": lambda real, part=part: replace(real.published, dist=part * real.published.dist)
        }
        for part in (0.5, 0.85, 1.15, 1.3, 2)
    },
}
"""Cases other than a wrong calibrant; where the image is mirrored, so is the reference."""

HOSTILE_CERIA = {f"as {name}": {"standard": name} for name in ("Ni", "LaB6", "Au", "Al", "NaCl", "Pt", "Cr2O3")}


HALVES = {
    "left half": np.s_[:, 1024:],
    "right half": np.s_[:, :1024],
    "lower half": np.s_[1024:],
    "upper half": np.s_[:1024],
}
"""Masked part of each image; `upper` and `lower` as the array is stored."""

SMALL = {
    "quarter 1": (np.s_[:, 1024:], np.s_[1024:]),
    "quarter 2": (np.s_[:, :1024], np.s_[1024:]),
    "quarter 3": (np.s_[:, :1024], np.s_[:1024]),
    "quarter 4": (np.s_[:, 1024:], np.s_[:1024]),
    "right of 1300": (np.s_[:, :1300],),
}


def brighter(real, factor):
    """Saturate the inner rings as a 16-bit detector does."""
    return np.clip(real.image * factor, 0, 65535).astype(np.uint16)


def beyond(real, cut):
    return real.mask | (np.arange(2048)[None] < cut)


def outside(real, radius):
    y, x = np.mgrid[:2048, :2048]
    return real.mask | (np.hypot(y - 1012, x - 1003) > radius)


def mirrored(name, geometry):
    """Compute the geometry of a mirrored image."""
    if name == "transposed":
        return replace(geometry, poni1=geometry.poni2, poni2=geometry.poni1, rot1=-geometry.rot2, rot2=-geometry.rot1)
    if name == "upside down":
        return replace(geometry, poni1=2048 * geometry.pixel1 - geometry.poni1, rot2=-geometry.rot2)
    return geometry


@pytest.mark.campaign
@pytest.mark.parametrize("name", HOSTILE_NICKEL)
def test_hostile_nickel_is_right_or_refused(nickel, of_nickel, name):
    options = {key: value(nickel) if callable(value) else value for key, value in HOSTILE_NICKEL[name].items()}
    reference = replace(of_nickel, geometry=mirrored(name, of_nickel.geometry))
    right_or_refused(nickel, reference, name, **options)


@pytest.mark.campaign
@pytest.mark.parametrize("name", HOSTILE_CERIA)
def test_ceria_under_a_wrong_name_is_refused(ceria, of_ceria, name):
    print(f"\nCeO2 {name}: {'; '.join(refused(ceria, **HOSTILE_CERIA[name]))}")


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*HALVES, *SMALL])
def test_a_part_of_nickel_is_right_or_refused_with_the_wavelength_that_fits(real_data, nickel, of_nickel, name):
    free = manifest(real_data, nickel, "refined_wl_free")
    reference = replace(of_nickel, geometry=fit(nickel, free).geometry)
    right_or_refused(nickel, reference, name, start=free, mask=part_of(nickel, name))


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*HALVES, *SMALL])
def test_a_part_of_nickel_is_right_or_refused_with_the_published_wavelength(nickel, of_nickel, name):
    """It is wrong by 0.5 %, which the centre of incomplete rings can compensate."""
    right_or_refused(nickel, of_nickel, name, mask=part_of(nickel, name))


def part_of(real, name):
    """Build the mask that leaves one part."""
    hidden = real.mask.copy()
    for where in SMALL.get(name) or (HALVES[name],):
        hidden[where] = True
    return hidden


def refused(real, **options):
    """Fit an image that must be refused; return the reasons."""
    with pytest.raises(FitError) as error:
        fit(real, **options).require_accepted()
    assert all(error.value.problems)
    return error.value.problems


def right_or_refused(real, reference, name="", **options):
    """Fit an image; an accepted result must be near the reference."""
    try:
        result = fit(real, **options)
        result.require_accepted()
    except FitError as error:
        print(f"\n{name}: refused: {'; '.join(error.problems)[:200]}")
        return
    off = off_px(reference.geometry, result.geometry)
    print(f"\n{name}: accepted, {off:.3f} px from the reference, residual {result.refined.residual_px:.3f} px")
    assert off < RIGHT
