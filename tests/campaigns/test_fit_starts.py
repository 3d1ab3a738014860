"""Many starts and many images: how many fits are right, how many refused, and that none is falsely accepted.

pytest -s -m campaign tests/campaigns/test_fit_starts.py
"""

import collections
import time

import numpy as np
import pytest

import pyfai_alone
from ponikeeper.errors import FitError
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import KINDS, displaced, off_px, random_scene, real_ceria, real_nickel

STARTS = 50
SAME = 0.1
"""Two fits are the same if they agree within this (px rms over the detector)."""

SCENES = 40
FALSE = 0.3
CLOSE = {"weak": 0.1, "spotty": 0.1}
"""Distance from the truth of nearly all accepted results (px rms); 0.05 where the rings are well visible."""

NEARLY_ALL = {"spotty": 0.75}
"""Minimum share of accepted results within it; 0.85 where the rings are complete."""

RINGS = 20
RIGHT_SHARE = {"spotty": 0.2}
"""Least share of images with a right result; 0.6 where the rings are complete: coarse grains are mostly rejected."""


def starts(real, count):
    return [displaced(real.published, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.campaign
@pytest.mark.parametrize("read", [real_nickel, real_ceria])
def test_every_start_ends_at_the_same_geometry(real_data, read):
    """Displaced by up to 5 %, 30 px in each direction and 2 deg in each rotation."""
    real = read(real_data)
    reference = fit_image(real.image, real.published, calibrant(real.calibrant), mask=real.mask)
    assert reference.accepted
    offs = []
    for start in starts(real, STARTS):
        result = fit_image(real.image, start, calibrant(real.calibrant), mask=real.mask)
        offs.append(off_px(reference.geometry, result.geometry) if result.accepted else np.inf)
    residual = np.degrees(reference.refined.residual_rad)
    print(
        f"\n{real.calibrant}: {np.count_nonzero(np.array(offs) < SAME)} of {STARTS} starts within {SAME} px, "
        f"the worst {max(offs):.2g} px; residual {residual:.4f} deg, {reference.refined.residual_px:.3f} px rms"
    )
    assert max(offs) < SAME


@pytest.mark.campaign
@pytest.mark.parametrize("read", [real_nickel, real_ceria])
def test_pyfai_without_ponikeeper_from_the_same_starts(real_data, read):
    """Refine by pyFAI for comparison; it only has to be right when it starts from our result."""
    real = read(real_data)
    standard = calibrant(real.calibrant)
    reference = fit_image(real.image, real.published, standard, mask=real.mask).geometry
    own = pyfai_alone.calibrate(real.image, real.mask, reference, standard, RINGS)
    offs, of_own = [], []
    for start in starts(real, STARTS):
        result = pyfai_alone.calibrate(real.image, real.mask, start, standard, RINGS)
        offs.append(np.inf if result is None else off_px(reference, result))
        of_own.append(np.inf if result is None else off_px(own, result))
    within, near = (np.count_nonzero(np.array(offs) < limit) for limit in (SAME, 1))
    print(
        f"\n{real.calibrant}, pyFAI alone: {within} of {STARTS} starts within {SAME} px of our reference, {near} "
        f"within 1 px, {np.count_nonzero(np.array(of_own) < SAME)} within {SAME} px of its own; median "
        f"{np.median(offs):.1f} px off. Started at our result it ends {off_px(reference, own):.3f} px from it"
    )
    assert off_px(reference, own) < SAME


def tried(kind, count):
    """Fit random scenes; return the verdicts and the distances of the accepted results from the truth (px)."""
    verdicts, offs, refused, times = collections.Counter(), [], [], []
    for seed in range(count):
        scene = random_scene(kind, seed)
        start = displaced(scene.truth, np.random.default_rng(seed))
        began = time.perf_counter()
        try:
            result = fit_image(scene.image(), start, calibrant(scene.calibrant))
        except FitError:
            verdicts["refused"] += 1
            continue
        finally:
            times.append(time.perf_counter() - began)
        off = off_px(scene.truth, result.geometry)
        if not result.accepted:
            verdicts["refused"] += 1
            refused.append(off)
            print(f"{kind} {seed} {scene.calibrant} {scene.truth.detector}: {off:.3f} px, {result.problems[0][:120]}")
            continue
        verdicts["false" if off > FALSE else "right"] += 1
        offs.append(off)
        if off > CLOSE.get(kind, 0.05):
            print(f"{kind} {seed} {scene.calibrant} {scene.truth.detector}: accepted, {off:.3f} px off")
    near = CLOSE.get(kind, 0.05)
    too = np.count_nonzero(np.array(refused) < near)
    reported = ", ".join(f"{verdicts[name]} {name}" for name in ("right", "refused", "false"))
    print(
        f"\n{kind}: of {count} {reported}; off by {np.median(offs):.3f} px (median), {max(offs):.3f} px (worst), "
        f"{np.count_nonzero(np.array(offs) > near)} by more than {near} px; "
        f"{np.median(times):.2f} s (median); of the refused {too} were that near too"
    )
    return verdicts, offs


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_simulated_images_are_right_or_refused(kind):
    verdicts, offs = tried(kind, SCENES)
    assert verdicts["false"] == 0
    assert verdicts["right"] >= RIGHT_SHARE.get(kind, 0.6) * SCENES
    assert np.count_nonzero(np.array(offs) < CLOSE.get(kind, 0.05)) >= NEARLY_ALL.get(kind, 0.85) * len(offs)


def test_some_simulated_images_are_right():
    """Run the short version of the campaign."""
    verdicts, offs = tried("facing", 3)
    assert verdicts["false"] == 0
    assert verdicts["right"] >= 2
    assert max(offs) < FALSE
