"""A rail from fits of simulated images, at positions that were never calibrated, against pyFAI's own angles.

pytest -s -m campaign tests/campaigns/test_model_of_images.py

The panel has a smooth distortion of 0.1 px rms, the same at each position. Pitch of the rail 1 to 10 mrad, tilt of the
detector to 10 degrees, motor 5 um.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

import travels
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import Chain, Model, Translate
from ponikeeper_client._geometry_errors import FITTED
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from ponikeeper_client.model.fit import Setup, fit_model
from ponikeeper_client.model.members import member_of, panel_of
from powder import Scene, displaced, off_px, on_detector

DISTORTION = 0.1
MOTOR = 0.005
"""Standard deviation of the motor (mm)."""

FAR = 600.0
"""The rail is calibrated from 0 to so much (mm)."""

PLACES = tuple(np.linspace(0, FAR, 5).tolist())
ELSEWHERE = 8


@dataclass
class Rail:
    """A detector on a rail.

    Parameters
    ----------
    seed
        Of everything.
    pixel
        Side of a pixel (m).
    """

    seed: int
    pixel: float = 4e-4

    def __post_init__(self):
        self.random = np.random.default_rng(self.seed)
        pitch, turn = self.random.uniform(1e-3, 1e-2), self.random.uniform(0, 2 * math.pi)
        tilt = math.degrees(math.radians(10) * self.random.uniform(0, 1))
        about = self.random.uniform(0, 2 * math.pi)
        self.geometry = on_detector(
            "Perkin", self.pixel, self.random.uniform(0.2, 0.3), self.random.uniform(0.35, 0.65, 2),
            (tilt * math.cos(about), tilt * math.sin(about)),
        )  # fmt: skip
        direction = (math.sin(pitch) * math.cos(turn), math.sin(pitch) * math.sin(turn), math.cos(pitch))
        at = self.geometry
        values = (at.dist, at.poni1, at.poni2, at.rot1, at.rot2, 0.0)
        self.chain = Chain(values, at.wavelength, {"z": 0.0}, (Translate("z", "mm", 1e-3, direction),))

    def truth(self, z) -> Geometry:
        """Return the true geometry where the motor reads z (mm), with its error."""
        values = self.chain.pose({"z": z + MOTOR * self.random.normal()}).values()
        return replace(self.geometry, **dict(zip(FITTED, values[:5], strict=True)))

    def calibrated(self, number, z):
        """Expose and fit a standard; return the revision."""
        truth = self.truth(z)
        image = Scene(truth, width=3.0, distortion=DISTORTION, seed=self.seed).image(noise=number)
        start = displaced(truth, np.random.default_rng((self.seed, number)), 0.02, 10, 0.5)
        fit = fit_image(image, start, calibrant("Ni"))
        assert fit.accepted, fit.problems
        position = {"z": {"value": z, "units": "mm"}}
        return travels.made(number, fit.geometry, position, errors=fit.certainty.errors)


def model_of(revisions):
    """Fit the model of a rail; return it, with chi squared and its degrees of freedom."""
    panel = panel_of(revisions[0].geometry)
    setup = Setup((travels.STARTS["z"],), panel, motor_sigma={"z": MOTOR})
    members = [
        member_of(each, f"revision {each.number}", {"z": each.position["z"]["value"]}, setup.middle)
        for each in revisions
    ]
    return fit_model(setup, members)


def interpolated(revisions, z):
    """Interpolate each value of the PONI between the calibrations."""
    places = [each.position["z"]["value"] for each in revisions]
    values = {name: [getattr(each.geometry, name) for each in revisions] for name in FITTED}
    between = {name: float(np.interp(z, places, column)) for name, column in values.items()}
    return replace(revisions[0].geometry, **between)


def nearest(revisions, z):
    """Return the geometry of the nearest calibration."""
    return min(revisions, key=lambda each: abs(each.position["z"]["value"] - z)).geometry


def compared(seeds, **options):
    """Return the distances of rings from the truth (px rms) by method, and the claimed ones; and chi2 / dof."""
    errors = {
        name: [] for name in ("model of 3", "interpolated of 3", "model of 5", "interpolated of 5", "nearest of 5")
    }
    claimed, quality = {3: [], 5: []}, []
    for seed in seeds:
        rail = Rail(seed, **options)
        five = [rail.calibrated(number, z) for number, z in enumerate(PLACES, 1)]
        sets = {3: five[::2], 5: five}
        models: dict[int, Model] = {}
        for count, revisions in sets.items():
            found = model_of(revisions)
            assert found.problems == (), (seed, found.problems)
            models[count] = found.model
        quality.append((models[5].fit["chi2"], models[5].fit["dof"]))
        for z in rail.random.uniform(0, FAR, ELSEWHERE).tolist():
            truth = rail.truth(z)
            for count, revisions in sets.items():
                there = models[count].evaluate({"z": z})
                claimed[count].append(there.rms_px)
                errors[f"model of {count}"].append(off_px(truth, there.geometry))
                errors[f"interpolated of {count}"].append(off_px(truth, interpolated(revisions, z)))
            errors["nearest of 5"].append(off_px(truth, nearest(five, z)))
    return {name: np.array(values) for name, values in errors.items()}, claimed, np.array(quality)


def reported(seeds, **options):
    """Compare, and print the table."""
    errors, claimed, quality = compared(seeds, **options)
    print(f"\n{len(seeds)} rails, {ELSEWHERE} positions each (px rms over the panel)")
    for name, values in errors.items():
        worst, high = values.max(), np.quantile(values, 0.95)
        print(f"{name:<18} median {np.median(values):8.3f}, 95 % {high:8.3f}, worst {worst:8.3f}")
    for count, values in claimed.items():
        ratio = np.sqrt(np.mean((errors[f"model of {count}"] / np.array(values)) ** 2))
        print(f"claimed of {count}: median {np.median(values):.3f}; true / claimed {ratio:.2f} rms")
    print(f"chi squared with the scatter: {quality[:, 0].sum() / quality[:, 1].sum():.2f} per degree of freedom")
    return errors


@pytest.mark.campaign
def test_rails_from_images_are_right_at_positions_that_were_never_calibrated():
    errors = reported(range(20))
    medians = {name: float(np.median(values)) for name, values in errors.items()}
    assert medians["model of 3"] <= 0.05
    assert medians["model of 5"] <= 0.04
    assert max(errors["model of 3"].max(), errors["model of 5"].max()) <= 0.08
    assert medians["model of 3"] <= medians["interpolated of 3"] / 2


def test_rail_from_a_few_images_is_right_at_a_position_that_was_never_calibrated():
    """Run the short version of the campaign: one rail, with pixels of 0.8 mm."""
    errors = reported(range(1), pixel=8e-4)
    assert np.median(errors["model of 5"]) < 0.1
