"""How a detector moves, as it is typed."""

import math

import pytest

import travels
from ponikeeper.errors import ConfigError, FitError
from ponikeeper.geometry.kinematics import Beam, Rotate, Translate
from ponikeeper_client.model.motion import Motion, position_of, wavelength_problems
from ponikeeper_client.model.selection import select


def test_joints_are_ordered_from_the_floor_to_the_detector():
    motion = Motion(("z",), (("tth", -2),), "energy")
    tth, z, energy = motion.joints({"z": "mm", "tth": "mdeg", "energy": "eV"})
    assert (tth, energy) == (Rotate("tth", "mdeg", -math.pi / 180e3, 2), Beam("energy", "eV"))
    assert isinstance(z, Translate)
    assert z.factor == 1e-3
    assert Motion(("z",), (("tth", 2),), None, ("z", "tth")).links == ("z", "tth")


def test_wavelength_is_told_from_an_energy_by_its_units():
    assert Motion((), (), "w").joints({"w": "angstrom"}) == (Beam("w", "angstrom", "wavelength"),)


@pytest.mark.parametrize(
    ("motion", "units", "problem"),
    [
        (Motion(("z",), (), None), "deg", "z has the units 'deg', which are no length: expected such as mm"),
        (Motion(("z",), (), None), "", "z has the units ''"),
        (Motion((), (("z", 1),), None), "mm", "which are no angle: expected such as deg"),
        (Motion((), (), "z"), "mm", "which are no energy and no wavelength"),
    ],
)
def test_units_that_do_not_fit_are_refused(motion, units, problem):
    with pytest.raises(FitError, match=problem):
        motion.joints({"z": units})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (((), (), None), "nothing moves: expected at least one of --along, --arm and --energy"),
        ((("z", "z"), (), None), "a link is given twice: z z"),
        (((), (("tth", 4),), None), r"--axis 4 is no lab axis: .* or 3 \(beam\), or -1, -2 or -3 for a left-handed"),
        ((("z",), (), None, ("z", "q")), "--order z,q: q is no joint that was given with .*: expected each of z once"),
        ((("z", "x"), (), None, ("x",)), "--order x: z is missing: expected each of z x once"),
        ((("z", "x"), (), None, ("x", "x", "z")), "--order x,x,z: a link is there twice: expected each of z x once"),
    ],
)
def test_motion_that_is_no_motion_is_refused(arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        Motion(*arguments)


def test_position_is_converted_or_refused():
    (member,) = select(travels.Travel((travels.RAIL,)).history(travels.along(200)), "1", ("z",))
    assert position_of(member, {"z": "m"}) == {"z": pytest.approx(0.2)}
    with pytest.raises(FitError, match="revision 1 has z in 'mm', which cannot be converted to 'deg'"):
        position_of(member, {"z": "deg"})


def test_wavelengths_that_differ_by_more_than_their_sigma_are_refused_without_an_energy():
    travel = travels.Travel((travels.RAIL,))
    members = travel.members(travels.along(0))
    travel.wavelength_error = 0.9 * travels.WAVELENGTH_SIGMA
    assert wavelength_problems(members + travel.members(travels.along(400)), None) == []
    travel.wavelength_error = 1.2 * travels.WAVELENGTH_SIGMA
    (problem,) = wavelength_problems(members + travel.members(travels.along(400)), None)
    assert "differs from that of revision 1 by +0.12 %, more than its standard deviation of 0.1 %" in problem
    assert "--energy LINK" in problem


def test_wavelengths_must_follow_the_energy():
    travel = travels.Travel((travels.RAIL, travels.ENERGY))
    places = [{"z": 0.0, "energy": 20.0}, {"z": 100.0, "energy": 30.0}]
    members = travel.members(places)
    assert wavelength_problems(members, travels.ENERGY) == []
    from dataclasses import replace

    wrong = replace(members[1], position={"z": 100.0, "energy": 29.0})
    assert "energy does not explain that" in wavelength_problems([members[0], wrong], travels.ENERGY)[0]
