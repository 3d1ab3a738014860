"""Models are as far from the truth as they say, at positions that were never calibrated.

pytest -s -m campaign tests/campaigns/test_models.py

The calibrations have errors as those of fits; `test_model_of_images.py` fits simulated images.
"""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import travels
from ponikeeper.geometry.kinematics.panel import Panel, ring_shift_px
from ponikeeper_client.model.fit import fit_model
from ponikeeper_client.model.left_out import LeftOut, culprit

MOTOR_MM, MOTOR_DEG = 0.005, 2e-4
"""Standard deviations of the motors."""

FIVE = travels.along(0, 200, 400, 600, 800)


def rail(random, axis=3):
    """Draw a rail with a pitch of 1 to 10 mrad."""
    pitch, turn = random.uniform(1e-3, 1e-2), random.uniform(0, 2 * math.pi)
    direction = np.roll([math.sin(pitch) * math.cos(turn), math.sin(pitch) * math.sin(turn), math.cos(pitch)], axis - 3)
    return replace(travels.RAIL, link="z" if axis == 3 else "x", direction=tuple(direction.tolist()))


def arm(random):
    """Draw an arm whose axis is a few mrad and some tenths of a millimetre off."""
    return replace(
        travels.ARM,
        about=int(random.integers(1, 3)),
        factor=random.choice((-1, 1)) * math.pi / 180,
        tilt=tuple(random.normal(0, 3e-3, 2).tolist()),
        offset=tuple(random.normal(0, 3e-4, 2).tolist()),
    )


def drawn(kind, seed):
    """Draw a detector, where it is calibrated, and 8 other positions."""
    random = np.random.default_rng((seed, len(kind)))
    tilt, turn = random.uniform(0, math.radians(10)), random.uniform(0, 2 * math.pi)
    dist = random.uniform(0.2, 0.6)
    values = (dist, 0.2 - dist * math.sin(tilt), 0.2, tilt * math.cos(turn), tilt * math.sin(turn), 0.0)
    z, tth = random.uniform(0, 800, 8), random.uniform(0, 40, 8)
    joints, places, elsewhere, motors = {
        "rail": lambda: ((rail(random),), FIVE[:: random.choice((1, 2))], travels.along(*z), {"z": MOTOR_MM}),
        "arm": lambda: (
            (arm(random),),
            [{"tth": float(at)} for at in (0, 20, 40)],
            [{"tth": float(at)} for at in tth],
            {"tth": MOTOR_DEG},
        ),
        "two stages": lambda: (
            (rail(random, 2), rail(random)),
            [{"x": x, "z": at} for x, at in ((0.0, 0.0), (100.0, 0.0), (0.0, 400.0), (100.0, 400.0))],
            [{"x": float(at / 8), "z": float(at / 2)} for at in z],
            {"x": MOTOR_MM, "z": MOTOR_MM},
        ),
        "rail on an arm": lambda: (
            (arm(random), rail(random)),
            [{"tth": t, "z": at} for t, at in ((0.0, 0.0), (20.0, 0.0), (40.0, 0.0), (0.0, 300.0), (40.0, 300.0))],
            [{"tth": float(t), "z": float(at * 3 / 8)} for t, at in zip(tth, z, strict=True)],
            {"tth": MOTOR_DEG, "z": MOTOR_MM},
        ),
    }[kind]()
    return travels.Travel(joints, seed, values, motor=motors), places, elsewhere


KINDS = ("rail", "arm", "two stages", "rail on an arm")


def fitted(travel, places, wrong=None):
    """Fit a model; the arm's axis is known only as the number of a lab axis, its sense of rotation is not."""
    about = {joint.link: joint.about for joint in travel.joints if joint.kind == "rotate"}
    setup = travel.setup(motor_sigma=travel.motor if isinstance(travel.motor, dict) else {})
    joints = tuple(replace(joint, about=about[joint.link]) if joint.link in about else joint for joint in setup.joints)
    return fit_model(replace(setup, joints=joints), travel.members(places, wrong))


def errors(travel, model, positions):
    """Compare with the truth at positions: claimed and true distance of rings (px rms), p of the five values."""
    claimed, true, probabilities = [], [], []
    for position in positions:
        there, values = model.evaluate(position), travel.truth(travel.strayed(position))
        panel = Panel.of(there.geometry, model.panel)
        found = model.chain.pose(position).values()
        claimed.append(there.rms_px)
        true.append(ring_shift_px(values, found, panel)[0])
        covariance = np.array(there.covariance)
        slopes = covariance[:5, 5] / covariance[5, 5]
        given = covariance[:5, :5] - np.outer(slopes, slopes) * covariance[5, 5]
        miss = np.subtract(found, values)[:5]
        probabilities.append(LeftOut(float(miss @ np.linalg.solve(given, miss)), 0.0, 0.0).probability)
    return np.array(claimed), np.array(true), np.array(probabilities)


def claims(kind, seeds):
    """Return claimed and true errors (px), and p, of many models."""
    parts = []
    for seed in seeds:
        travel, places, elsewhere = drawn(kind, seed)
        parts.append(errors(travel, fitted(travel, places).model, elsewhere))
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def stated(kind, seeds):
    """Print how far the errors are from what is said; return true / claimed, and the share beyond p = 0.01."""
    claimed, true, probability = claims(kind, seeds)
    ratio, beyond = float(np.sqrt(np.mean((true / claimed) ** 2))), float(np.mean(probability < 0.01))
    print(
        f"\n{kind}, {len(seeds)} models: true / claimed {ratio:.2f} rms, {100 * beyond:.1f} % beyond p = 0.01; "
        f"true error median {np.median(true):.3f}, 95 % {np.quantile(true, 0.95):.3f}, worst {true.max():.3f} px"
    )
    return ratio, beyond


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_true_errors_are_what_is_claimed(kind):
    """200 models, 50 of each kind; the sum over the kinds is what the goal is about."""
    ratio, beyond = stated(kind, range(50))
    assert 0.5 < ratio < 1.3
    assert beyond < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_true_errors_of_a_few_are_what_is_claimed(kind):
    """Run the short version of the campaign."""
    ratio, _ = stated(kind, range(2))
    assert 0.2 < ratio < 1.8


def named(seeds, size, across):
    """Displace one of five; return how often it was named, another was, and none.

    Along the beam, 0.2 mm may be less than the 0.2 px from which on a model is refused: then a note has the name.
    """
    counts = Counter()
    for seed in seeds:
        random = np.random.default_rng(seed)
        travel, _, _ = drawn("rail", seed)
        index, turn = int(random.integers(5)), random.uniform(0, 2 * math.pi)
        wrong = (size * math.cos(turn), size * math.sin(turn), 0.0) if across else (0.0, 0.0, size)
        accused = culprit([each.left_out for each in fitted(travel, FIVE, {index: wrong}).residuals])
        counts["named" if accused == index else "none" if accused is None else "another"] += 1
    print(f"\none of five {1e3 * size:g} mm {'across' if across else 'along'} the beam: {dict(counts)}")
    return counts


@pytest.mark.campaign
def test_one_of_five_that_is_wrong_is_named_and_no_other():
    across, along = named(range(200), 2e-4, across=True), named(range(200), 2e-4, across=False)
    right = named(range(200), 0.0, across=True)
    assert across["named"] >= 190
    assert along["named"] >= 190
    assert across["another"] == along["another"] == 0
    assert right["none"] >= 198


def test_one_of_a_few_that_is_wrong_is_named_and_no_other():
    """Run the short version of the campaign."""
    counts = named(range(3), 2e-4, across=True)
    assert counts["named"] >= 2
    assert counts["another"] == 0


def of_bent_rails(seeds):
    """Fit rails that are bent by 100 um between their ends; return true / claimed at other positions."""
    ratios, scatters = [], []
    for seed in seeds:
        travel, _, elsewhere = drawn("rail", seed)
        random = np.random.default_rng(seed)
        turn, waves, phase = random.uniform(0, 2 * math.pi), random.uniform(0.5, 1.5), random.uniform(0, 2 * math.pi)
        side = 1e-4 * np.array([math.cos(turn), math.sin(turn), 0.0])
        travel.bend = lambda at, side=side, waves=waves, phase=phase: (
            side * math.sin(phase + 2 * math.pi * waves * at["z"] / 800)
        )
        model = fitted(travel, FIVE).model
        claimed, true, _ = errors(travel, model, elsewhere)
        ratios.append(true / claimed)
        scatters.append(model.scatter)
    ratios = np.concatenate(ratios)
    print(
        f"\nbent by 100 um: {100 * np.mean(ratios < 2):.1f} % of {len(ratios)} positions within 2 sigma, "
        f"true / claimed {np.sqrt(np.mean(ratios**2)):.2f} rms, scatter {1e6 * np.median(scatters):.0f} um"
    )
    return ratios


@pytest.mark.campaign
def test_bent_rail_is_within_its_uncertainty():
    assert np.mean(of_bent_rails(range(100)) < 2) >= 0.95


def test_a_few_bent_rails_are_within_their_uncertainty():
    """Run the short version of the campaign."""
    assert np.mean(of_bent_rails(range(3)) < 2) >= 0.85


def excesses(seeds):
    """Calibrate with a wavelength that is 0.10 % too long at 3 positions over 800 mm; return what the travel says."""
    found = []
    for seed in seeds:
        travel, _, _ = drawn("rail", seed)
        travel.wavelength_error = 1e-3
        (each,) = fitted(travel, travels.along(0, 400, 800)).travel
        assert each.is_reported
        found.append((100 * each.excess, 100 * each.sigma))
    values, sigmas = np.array(found).T
    print(
        f"\nwavelength + 0.10 %: {values.mean():.4f} % found, {values.std():.4f} % rms, {sigmas.mean():.4f} % claimed, "
        f"worst {np.abs(values - 0.1).max():.4f} % off"
    )
    return values


@pytest.mark.campaign
def test_wavelength_that_is_too_long_is_reported():
    assert np.abs(excesses(range(100)) - 0.1).max() < 0.01


def test_a_few_wavelengths_that_are_too_long_are_reported():
    """Run the short version of the campaign."""
    assert np.abs(excesses(range(3)) - 0.1).max() < 0.01


def test_arms_from_three_calibrations_are_within_a_twentieth_of_a_pixel():
    """Axis and offset free, 0 to 40 degrees; the campaign of claims has 50."""
    _, true, _ = claims("arm", range(3))
    print(f"\narm, 3 calibrations: median {np.median(true):.3f} px rms, worst {true.max():.3f}")
    assert np.median(true) < 0.05
