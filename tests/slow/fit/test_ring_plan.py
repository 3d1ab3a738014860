"""Rings of a standard on a panel before the exposure: compared with the angles that pyFAI computes for each pixel."""

from dataclasses import replace

import numpy as np
import pytest

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._panel import image_shape
from ponikeeper_client.fit.calibrants import Calibrant, calibrant, known_standards
from ponikeeper_client.fit.fit import fit_image
from ponikeeper_client.fit.ring_plan import plan_rings, rank_standards, ring_problem
from powder import Scene, integrator, off_px, on_detector

SCENES = {
    "facing": on_detector("Pilatus1M", 1.72e-4, 0.3, (0.5, 0.5), (0, 0), 3e-11),
    "tilted, centre off the panel": on_detector("Pilatus1M", 1.72e-4, 0.25, (0.4, -0.4), (12, -30), 3e-11, 2),
    "wide angles": on_detector("Pilatus300k", 1.72e-4, 0.05, (0.5, 1.4), (5, 40), 1.2e-10, 4),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("standard", ["LaB6", "CeO2"])
def test_rings_on_the_panel_are_the_angles_of_its_pixels(name, standard):
    truth = SCENES[name]
    shape = image_shape(truth)
    ai = integrator(truth)
    angle, azimuth = ai.array_from_unit(unit="2th_rad"), ai.array_from_unit(unit="chi_rad")
    planned = plan_rings(truth, shape, calibrant(standard)).rings
    inside = calibrant(standard).lines(truth.wavelength)
    inside = inside[(inside > angle.min() + 1e-3) & (inside < np.quantile(angle, 0.999))]
    assert set(inside.tolist()) <= {ring.angle for ring in planned}
    assert all(angle.min() - 2e-3 < ring.angle < angle.max() + 2e-3 for ring in planned)
    for ring in planned[:6]:
        near = np.abs(angle - ring.angle) < 1.5e-3
        covered = len(np.unique((np.degrees(azimuth[near]) // 2).astype(int))) * 2
        assert ring.arc == pytest.approx(covered, abs=12)


def test_spacing_radius_and_separation_of_a_ring():
    truth = SCENES["facing"]
    standard = calibrant("LaB6")
    first, second = plan_rings(truth, image_shape(truth), standard).rings[:2]
    assert [first.spacing, second.spacing] == pytest.approx(standard.spacings[:2])
    assert first.radius == pytest.approx(0.3 * np.tan(first.angle) / 1.72e-4)
    assert first.separation == pytest.approx(second.radius - first.radius)


def test_rings_that_overlap_or_are_behind_the_beam_stop_are_of_no_use():
    truth = SCENES["facing"]
    silver = plan_rings(truth, image_shape(truth), calibrant("AgBh")).rings[:3]
    assert [(round(ring.radius), ring.usable) for ring in silver] == [(9, False), (18, True), (27, True)]
    dense = Calibrant("dense", tuple(np.linspace(3e-10, 2e-10, 40)))
    crowded = plan_rings(truth, image_shape(truth), dense)
    assert (len(crowded.rings), crowded.usable, crowded.enough) == (40, 0, False)
    assert np.isinf(crowded.uncertainty)
    assert "put the detector farther away, since rings overlap" in ring_problem(truth, image_shape(truth), dense)


def test_a_wavelength_without_lines_has_no_rings():
    plan = plan_rings(replace(SCENES["facing"], wavelength=9e-10), (1043, 981), calibrant("LaB6"))
    assert (plan.rings, plan.usable) == ((), 0)


def test_expected_uncertainty_is_that_of_the_fit():
    """The points of the fit of a clean image scatter less than 0.1 px, so the fit is at least that good."""
    truth = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
    plan = plan_rings(truth, image_shape(truth), calibrant("LaB6"))
    result = fit_image(Scene(truth, "LaB6", counts=300).image(), truth, calibrant("LaB6"))
    assert off_px(truth, result.geometry) < 4 * plan.uncertainty < 0.5
    arcs = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, -0.6), (2, -1), 4e-11)
    assert plan_rings(arcs, image_shape(arcs), calibrant("LaB6")).uncertainty > 2 * plan.uncertainty


@pytest.mark.parametrize(("dist", "standard", "better"), [(4.0, "CeO2", "AgBh"), (6.0, "Ni", "AgBh")])
def test_too_few_rings_name_a_standard_that_has_enough(dist, standard, better):
    far = on_detector("Pilatus1M", 1.72e-4, dist, (0.5, 0.5), (0, 0), 3e-11)
    problem = ring_problem(far, image_shape(far), calibrant(standard))
    assert f"{standard} will have" in problem
    assert f"at least 3 are needed: use {better} (" in problem
    assert "shorter wavelength" in problem
    assert ring_problem(far, image_shape(far), calibrant(better)) is None


def test_standards_are_ranked_by_expected_uncertainty_and_have_enough_rings():
    truth = SCENES["facing"]
    ranked = rank_standards(truth, image_shape(truth), known_standards())
    assert [plan.uncertainty for plan in ranked] == sorted(plan.uncertainty for plan in ranked)
    assert all(plan.enough for plan in ranked)
    assert {"LaB6", "CeO2", "Ni"} <= {plan.standard.name for plan in ranked}


def test_reference_materials_of_one_lattice_are_one_standard():
    names = [one.name for one in known_standards()]
    assert len(set(names)) == len(names)
    for name in ("LaB6", "Si", "alpha_Al2O3", "Al", "Au", "Ni", "AgBh"):
        assert name in names
    assert not {"mock", "LaB6_SRM660c", "Si_SRM640e", "alpha_Al2O3_SRM676"} & set(names)


def test_shape_of_a_binned_panel_is_known():
    binned = Geometry(0.2, 0, 0, 0, 0, 0, 4e-4, 4e-4, 1e-11, "Perkin", {})
    assert image_shape(binned) == (1024, 1024)
    assert image_shape(replace(binned, detector="Detector")) is None
