"""Simulated images from nothing: how many fits are right, how many refused, and that none is falsely accepted.

pytest -s -m campaign tests/campaigns/test_fit_blind.py
"""

import collections
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest

from mixed_scenes import KINDS, SMALL, mixed_scene
from ponikeeper.errors import FitError
from ponikeeper_client.fit._acceptance import BLIND_START
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import off_px, real_ceria, real_nickel

IMAGES = 300
RIGHT = 0.3
"""Largest distance of an accepted result from the truth (px rms over the panel)."""

RIGHT_SHARE = 0.9
BEYOND = 3.0
"""Largest distance of an accepted result from the truth, in standard deviations that the fit states."""

SAME = 0.1
"""Two fits of a real image are the same if they agree within this (px rms over the panel)."""

FEW = [("plain", 3), ("tilted", 3), ("edge", 6), ("off", 4), ("dirty", 0), ("few rings", 1)]


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    verdict: str
    off: float
    seconds: float
    identifiable: bool
    text: str


def blind(image, truth, standard, mask=None):
    """Fit an image without a start: of the truth only panel, orientation and wavelength are used."""
    nothing = replace(truth, dist=1.0, poni1=0.0, poni2=0.0, rot1=0.0, rot2=0.0)
    return fit_image(image, nothing, calibrant(standard), mask=mask, tolerance=BLIND_START)


def tried(scene):
    """Fit one scene from nothing; one that is not right is fitted from the truth too, to know if it can be."""
    image, began = scene.image(), time.perf_counter()
    try:
        result = blind(image, scene.truth, scene.calibrant)
    except FitError as error:
        return Outcome("refused", np.inf, time.perf_counter() - began, identifiable(scene, image), str(error)[:120])
    seconds, off = time.perf_counter() - began, off_px(scene.truth, result.geometry)
    if not result.accepted:
        return Outcome("refused", off, seconds, identifiable(scene, image), result.problems[0][:120])
    stated = result.certainty.panel_px
    right = off <= RIGHT and off <= BEYOND * stated
    return Outcome("right" if right else "false", off, seconds, True, f"stated {stated:.3f} px")


def identifiable(scene, image):
    """Check whether the fit is right when it begins at the truth."""
    try:
        result = fit_image(image, scene.truth, calibrant(scene.calibrant))
    except FitError:
        return False
    return result.accepted and off_px(scene.truth, result.geometry) <= RIGHT


def counted(images, panels=None):
    """Fit images from nothing, print what became of each and the sums; return the numbers of verdicts."""
    verdicts, seconds, of_refused, can_be = collections.Counter(), [], [], 0
    for kind, seed in images:
        scene = mixed_scene(kind, seed, panels=panels)
        outcome = tried(scene)
        verdicts[outcome.verdict] += 1
        seconds.append(outcome.seconds)
        can_be += outcome.identifiable
        if outcome.verdict != "right":
            of_refused.append(outcome.seconds)
            where = f"{kind} {seed} {scene.calibrant} {scene.truth.detector}"
            print(
                f"{where}: {outcome.verdict}, {outcome.off:.3f} px off, can be {outcome.identifiable}: {outcome.text}"
            )
    print(
        f"\nof {len(seconds)} images {verdicts['right']} right, {verdicts['refused']} refused, {verdicts['false']} "
        f"false; identifiable {can_be}; {np.median(seconds):.2f} s (median), {max(seconds):.1f} s (longest), refused "
        f"ones {np.median(of_refused or [0]):.2f} s (median)"
    )
    return verdicts


@pytest.mark.campaign
def test_simulated_images_are_right_or_refused_without_a_start():
    verdicts = counted([(list(KINDS)[seed % len(KINDS)], seed) for seed in range(IMAGES)])
    assert verdicts["false"] == 0
    assert verdicts["right"] >= RIGHT_SHARE * IMAGES


def test_some_simulated_images_are_right_without_a_start():
    """Run the short version of the campaign, on small panels."""
    verdicts = counted(FEW, SMALL)
    assert verdicts["false"] == 0
    assert verdicts["right"] >= len(FEW) - 1


@pytest.mark.campaign
@pytest.mark.parametrize("read", [real_nickel, real_ceria])
def test_real_images_without_a_start_end_where_started_ones_do(real_data, read):
    real = read(real_data)
    started = fit_image(real.image, real.published, calibrant(real.calibrant), mask=real.mask)
    result = blind(real.image, real.published, real.calibrant, real.mask)
    off = off_px(started.geometry, result.geometry)
    print(f"\n{real.calibrant}: {off:.3f} px from the fit with a start")
    assert result.problems == ()
    assert off < SAME
