"""Status rules: a table of cases, each with its status and its reason."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.history import Correction, Revision
from ponikeeper.protocol import LinkState, calibrated_value, is_within, nominal_value
from ponikeeper.protocol.findings import MAX_REASON, UNWATCHED, advice_of, findings_about, reason_of, status_of
from ponikeeper.protocol.status import Status
from ponikeeper.text import strictjson
from stores import GEOMETRY

WAVELENGTH = 1.66e-11  # 74.689 keV
POSITION = {
    "z": {"value": 1000.0, "units": "mm"},
    "energy": {"value": 74.69, "units": "keV"},
    "binning": {"value": 1.0, "units": ""},
}
RETRACTED = Correction(1, "retract", 7, None, None, None, "beam stop touched", "2026-11-22T09:30:00.000000Z", "alice")
SUPERSEDED = replace(RETRACTED, kind="supersede", by=9, reason="wavelength typed wrong")
BUMP = replace(SUPERSEDED, since="2026-11-20T00:00:00.000000Z", until="2026-11-21T00:00:00.000000Z")
OTHER = replace(RETRACTED, revision=3)


def revision(position=POSITION, wavelength=WAVELENGTH):
    return Revision(7, "uid", "time", None, replace(GEOMETRY, wavelength=wavelength), position, {}, "checksum")


STANDS = {"z": 1000.0, "energy": 74.69, "binning": 1.0}
KINDS = {"z": ("motor", "mm", 0.05), "energy": ("energy", "keV", 1e-4), "binning": ("equal", "", None)}


def link(name, stands, position=POSITION):
    """Return one link with a value, or with other changes, compared with its position as a detector does it."""
    more = stands if isinstance(stands, dict) else {"value": stands}
    value = more.get("value", STANDS[name])
    kind, units, tolerance = KINDS[name]
    bare = LinkState(
        name, name.upper(), kind, units, tolerance, value, None, moving=False, connected=True,
        mismatch=0.02 if kind == "energy" else None,
    )  # fmt: skip
    stood = calibrated_value(bare, position)
    bare = replace(bare, calibrated=stood)
    reference = nominal_value(bare, WAVELENGTH) if stood is None else stood
    within = None if value is None or reference is None else is_within(bare, value, reference)
    return replace(bare, **({"within": within} | more))


def links(position=POSITION, **stands):
    """Return all three links."""
    return [link(name, value, position) for name, value in {**STANDS, **stands}.items()]


def status_and_reason(active, corrections, links_now):
    findings = findings_about(active, corrections, links_now)
    return status_of(findings).name, reason_of(findings)


GONE = {"value": None, "connected": False, "moving": None, "within": None}
NAN = {"value": None, "error": "it says nan: expected a finite number", "moving": None, "within": None}
MOVING = {"moving": True}
WITHOUT_ENERGY = {name: POSITION[name] for name in ("z", "binning")}
WITHOUT_BINNING = {name: POSITION[name] for name in ("z", "energy")}
IN_METRES = {**POSITION, "z": {"value": 1.0, "units": "m"}}
IN_NANOMETRES = {**POSITION, "z": {"value": 1e9, "units": "nm"}}
IN_ELECTRONVOLTS = {**POSITION, "energy": {"value": 74690.0, "units": "eV"}}
IN_DEGREES = {**POSITION, "z": {"value": 1.0, "units": "deg"}}
WITHOUT_UNITS = {**POSITION, "z": {"value": 1000.0, "units": ""}}
BINNING_IN_PIXELS = {**POSITION, "binning": {"value": 1.0, "units": "px"}}

Z_BEYOND = "z (Z) is at 1000.0501 mm, calibrated at 1000 mm, tolerance 0.05 mm"
Z_FAR = "z (Z) is at 1500 mm, calibrated at 1000 mm, tolerance 0.05 mm"
NEVER = "the position of revision 7 was never recorded"
OFF = "energy (ENERGY) is at 75.2 keV, the wavelength corresponds to 74.6893 keV, tolerance 0.0001 relative"
WRONG = "revision 7 was superseded by revision 9: wavelength typed wrong"

CASES = {
    "at the position": (revision(), (), links(), "VALID", ""),
    "within": (revision(), (), links(z=1000.03), "VALID", ""),
    "at the tolerance": (revision(), (), links(z=1000.05), "VALID", ""),
    "just beyond": (revision(), (), links(z=1000.0501), "MOVED", Z_BEYOND),
    "just beyond, below": (
        revision(), (), links(z=999.9499), "MOVED", "z (Z) is at 999.9499 mm, calibrated at 1000 mm, tolerance 0.05 mm",
    ),
    "back, but not for long": (
        revision(), (), links(z={"value": 1000.049, "within": False}), "MOVED",
        "z (Z) is back at 1000.049 mm, not for long enough yet",
    ),
    "energy moved": (
        revision(), (), links(energy=74.7), "MOVED",
        "energy (ENERGY) is at 74.7 keV, calibrated at 74.69 keV, tolerance 0.0001 relative",
    ),
    "binning changed": (
        revision(), (), links(binning=2.0), "MOVED", "binning (BINNING) is at 2, calibrated at 1, any change counts",
    ),
    "in motion": (revision(), (), links(z={"value": 1500.0, "moving": True}), "MOVING", "z (Z) is moving"),
    "in motion where it belongs": (revision(), (), links(z=MOVING), "MOVING", "z (Z) is moving"),
    "disconnected": (revision(), (), links(z=GONE), "UNKNOWN", "z (Z) is not connected"),
    "disconnected, though its moving PV says that it moves": (
        revision(), (), links(z={**GONE, "moving": True}), "UNKNOWN", "z (Z) is not connected",
    ),
    "not a number": (
        revision(), (), links(energy=NAN), "UNKNOWN", "energy (ENERGY): it says nan: expected a finite number",
    ),
    "moving PV says nothing": (
        revision(), (), links(z={"moving": None, "error": "Z.MOVN is not connected"}), "UNKNOWN",
        "z (Z): Z.MOVN is not connected",
    ),
    "position never recorded": (revision(None), (), links(position=None), "UNKNOWN", NEVER),
    "link added after the revision": (
        revision(WITHOUT_BINNING), (), links(position=WITHOUT_BINNING), "UNKNOWN",
        "binning (BINNING) was not recorded for revision 7",
    ),
    "recorded in metres, and there": (revision(IN_METRES), (), links(position=IN_METRES), "VALID", ""),
    "recorded in metres, and within": (revision(IN_METRES), (), links(z=1000.05, position=IN_METRES), "VALID", ""),
    "recorded in metres, and just beyond": (
        revision(IN_METRES), (), links(z=1000.0501, position=IN_METRES), "MOVED", Z_BEYOND,
    ),
    "recorded in nanometres, and far": (
        revision(IN_NANOMETRES), (), links(z=1500.0, position=IN_NANOMETRES), "MOVED", Z_FAR,
    ),
    "recorded in eV, and there": (revision(IN_ELECTRONVOLTS), (), links(position=IN_ELECTRONVOLTS), "VALID", ""),
    "recorded in eV, and moved": (
        revision(IN_ELECTRONVOLTS), (), links(energy=74.7, position=IN_ELECTRONVOLTS), "MOVED",
        "energy (ENERGY) is at 74.7 keV, calibrated at 74.69 keV, tolerance 0.0001 relative",
    ),
    "recorded in degrees": (
        revision(IN_DEGREES), (), links(position=IN_DEGREES), "UNKNOWN",
        "z (Z) was recorded in deg, the configuration has mm",
    ),
    "recorded without units": (
        revision(WITHOUT_UNITS), (), links(position=WITHOUT_UNITS), "UNKNOWN",
        "z (Z) was recorded in no units, the configuration has mm",
    ),
    "units of a link without tolerance": (
        revision(BINNING_IN_PIXELS), (), links(position=BINNING_IN_PIXELS), "UNKNOWN",
        "binning (BINNING) was recorded in px, the configuration has none",
    ),
    "energy added after the revision, and right": (
        revision(WITHOUT_ENERGY), (), links(energy=74.6893, position=WITHOUT_ENERGY), "VALID", "",
    ),
    "energy added after the revision, and off": (
        revision(WITHOUT_ENERGY), (), links(energy=75.2, position=WITHOUT_ENERGY), "MISMATCH",
        OFF.replace("74.6893", "74.68927616"),
    ),
    "energy off from a refined wavelength, but unmoved": (revision(wavelength=1.665e-11), (), links(), "VALID", ""),
    "energy where it was recorded, but it contradicts the wavelength": (
        revision(wavelength=1.70e-11), (), links(), "MISMATCH",
        "energy (ENERGY) is at 74.69 keV, the wavelength corresponds to 72.93188143 keV, more than 0.02 relative",
    ),
    "energy moved, and it contradicts the wavelength": (
        revision(), (), links(energy=80.0), "MOVED",
        "energy (ENERGY) is at 80 keV, calibrated at 74.69 keV, tolerance 0.0001 relative",
    ),
    "energy that contradicts the wavelength in motion": (
        revision(wavelength=1.70e-11), (), links(energy=MOVING), "MOVING", "energy (ENERGY) is moving",
    ),
    "superseded by one that was superseded": (
        revision(), (SUPERSEDED, replace(SUPERSEDED, number=2, revision=9, by=12, reason="bad mask")), links(),
        "SUPERSEDED", f"{WRONG}; revision 9 was superseded by revision 12: bad mask",
    ),
    "superseded by one that was retracted": (
        revision(), (SUPERSEDED, replace(RETRACTED, number=2, revision=9)), links(),
        "RETRACTED", f"{WRONG}; revision 9 was retracted: beam stop touched",
    ),
    "no links": (revision({}), (), [], "UNWATCHED", UNWATCHED),
    "position never recorded, but the energy says that the wavelength is right": (
        revision(None), (), [link("energy", 74.6893, None)], "VALID", "",
    ),
    "position never recorded, and the energy says that the wavelength is wrong": (
        revision(None), (), [link("energy", 75.2, None)], "MISMATCH", OFF.replace("74.6893", "74.68927616"),
    ),
    "position never recorded, and the energy is not known": (
        revision(None), (), [link("energy", GONE, None)], "UNKNOWN", "energy (ENERGY) is not connected",
    ),
    "position never recorded, the energy and another link": (
        revision(None), (), [link("energy", 74.6893, None), link("binning", 1.0, None)], "UNKNOWN", NEVER,
    ),
    "no links, position never recorded": (revision(None), (), [], "UNWATCHED", UNWATCHED),
    "superseded": (revision(), (SUPERSEDED,), links(), "SUPERSEDED", WRONG),
    "retracted": (revision(), (RETRACTED,), links(), "RETRACTED", "revision 7 was retracted: beam stop touched"),
    "retracted, no links": (
        revision(), (RETRACTED,), [], "RETRACTED", f"revision 7 was retracted: beam stop touched; {UNWATCHED}",
    ),
    "wrong for a time that is over": (revision(), (BUMP,), links(), "VALID", ""),
    "another one retracted": (revision(), (OTHER,), links(), "VALID", ""),
    "unset": (None, (), links(), "UNSET", None),
    "unset, no links": (None, (), [], "UNSET", None),
    # precedence: as the table in the documentation; the reason lists all that applies
    "everything at once": (
        revision(WITHOUT_ENERGY), (SUPERSEDED,),
        links(z=1500.0, energy=75.2, position=WITHOUT_ENERGY, binning=GONE), "UNKNOWN",
        f"binning (BINNING) is not connected; {WRONG}; {Z_FAR}; {OFF.replace('74.6893', '74.68927616')}",
    ),
    "superseded and in motion": (
        revision(), (SUPERSEDED,), links(z=MOVING), "SUPERSEDED", f"{WRONG}; z (Z) is moving",
    ),
    "one in motion, another one moved": (
        revision(), (), links(z=1500.0, energy=MOVING), "MOVING", f"energy (ENERGY) is moving; {Z_FAR}",
    ),
    "moved and mismatched": (
        revision(WITHOUT_ENERGY), (), links(z=1500.0, energy=75.2, position=WITHOUT_ENERGY), "MOVED",
        f"{Z_FAR}; {OFF.replace('74.6893', '74.68927616')}",
    ),
    "never recorded, disconnected": (
        revision(None), (), links(position=None, z=GONE), "UNKNOWN", f"{NEVER}; z (Z) is not connected",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_status_and_reason(case):
    active, corrections, links_now, status, reason = case
    result = status_and_reason(active, corrections, links_now)
    assert result[0] == status
    if reason is None:
        assert result[1].startswith("no geometry was ever committed: set all values at once")
    else:
        assert result[1] == reason


def test_every_status_has_a_case():
    of_a_model = {"OUT_OF_RANGE", "UNCERTAIN"}
    assert {case[3] for case in CASES.values()} == set(Status.__members__) - of_a_model


def test_deviation_from_the_nominal_energy_is_reported_only_where_none_was_recorded():
    assert status_and_reason(revision(), (), links(energy=74.69))[0] == "VALID"
    off = replace(link("energy", 80.0, {}), within=False)
    assert status_and_reason(revision({}), (), [off])[0] == "MISMATCH"


@pytest.mark.parametrize(
    ("links_now", "corrections", "position", "advice"),
    [
        (links(), (), POSITION, ""),
        (links(z=1500.0), (), POSITION, "move Z to 1000 mm, activate the revision of this position, or calibrate"),
        (links(z=GONE), (), POSITION, "check Z: it must be connected and have a number in mm"),
        (links(z=MOVING), (), POSITION, "wait until z (Z) is at rest"),
        (links(position=None), (), None, "move the links to where revision 7 was calibrated, then put 1 to "
         "RecordPosition"),
        (links(z=1500.0), (SUPERSEDED,), POSITION, "put 9 to Activate, which replaces it, or calibrate"),
        (links(), (RETRACTED,), POSITION, "activate a revision that is right, or calibrate"),
        ([], (), None, "check that the detector is where it was calibrated"),
    ],
)  # fmt: skip
def test_advice_is_about_what_decides_the_status(links_now, corrections, position, advice):
    assert advice_of(findings_about(revision(position), corrections, links_now)) == advice


def test_correction_counts_for_the_time_in_question():
    def status(instant):
        return status_of(findings_about(revision(), (BUMP,), links(), instant)).name

    times = ("2026-11-19T23:59:59Z", "2026-11-20T12:00:00Z", "2026-11-21T00:00:00Z", None)
    assert [status(time) for time in times] == ["VALID", "SUPERSEDED", "VALID", "VALID"]


def test_the_last_correction_decides():
    assert status_and_reason(revision(), (SUPERSEDED, replace(RETRACTED, number=2)), links())[1].startswith(
        "revision 7 was retr"
    )
    # a later correction for a limited time does not undo that the revision is wrong
    assert status_and_reason(revision(), (SUPERSEDED, replace(BUMP, number=2)), links())[0] == "SUPERSEDED"


def test_reason_that_is_too_long_is_cut():
    broken = [replace(link("z", None), error="\\" * 400, moving=None)] * 16
    status, text = status_and_reason(revision(), (), broken)
    assert status == "UNKNOWN"
    assert text.endswith("; and 15 more links")
    assert len(strictjson.dumps(text)) <= MAX_REASON


def test_reason_that_is_too_long_keeps_the_part_about_the_revision():
    broken = [replace(link("z", None), error="x" * 90, moving=None)] * 16
    text = status_and_reason(revision(), (RETRACTED,), broken)[1]
    assert re.search(r"; revision 7 was retracted: beam stop touched; and \d more links$", text), text
    long = replace(RETRACTED, reason="\N{SNOWMAN}" * 400)
    status, text = status_and_reason(revision(), (long,), broken)
    assert (status, text[-3:]) == ("UNKNOWN", "...")
    assert text.startswith("revision 7 was retracted: ")


texts = st.text(max_size=400)


@given(texts, st.lists(texts, max_size=16))
def test_reason_is_ascii_and_leaves_room_in_the_snapshot(reason, errors):
    retracted = replace(RETRACTED, reason=reason)
    broken = [replace(link("z", None), error=error, moving=None) for error in errors]
    status, text = status_and_reason(revision(), (retracted,), broken)
    assert status == ("UNKNOWN" if errors else "RETRACTED")
    assert text.isascii()
    assert len(strictjson.dumps(text)) <= MAX_REASON


WHY = "out of service since 2026-11-22T09:30:00Z by bob: controller is being repaired"
OUT = {"out_of_service": WHY}


@pytest.mark.parametrize("z", [{}, {"value": 1500.0, "within": False}, GONE, MOVING, NAN])
def test_link_out_of_service_is_mentioned_and_gives_no_reason_against_the_revision(z):
    status, reason = status_and_reason(revision(), (), links(z=z | OUT))
    assert (status, reason) == ("VALID", f"z (Z) is {WHY}")
    assert advice_of(findings_about(revision(), (), links(z=z | OUT))) == ""
    without_z = {name: POSITION[name] for name in ("energy", "binning")}
    assert status_and_reason(revision(without_z), (), links(without_z, z=z | OUT)) == (status, reason)


def test_energy_out_of_service_contradicts_no_wavelength():
    energy = {"value": 80.0, "within": False} | OUT
    assert status_and_reason(revision(), (), links(energy=energy))[0] == "VALID"
    assert status_and_reason(revision(), (), links(energy=energy, z=1500.0)) == (
        "MOVED", f"{Z_FAR}; energy (ENERGY) is {WHY}",
    )  # fmt: skip


def test_no_link_in_service_means_unwatched_also_without_a_position():
    every = links(z=OUT, energy=OUT, binning=OUT)
    for active in (revision(), revision(None)):
        status, reason = status_and_reason(active, (), every)
        assert status == "UNWATCHED"
        assert reason.startswith("every link is out of service: nothing checks this geometry; z (Z) is out of service")


def test_file_whose_content_is_not_known_is_mentioned_whatever_the_status_is():
    config = {"splineFile": "/d/a.spline", "x_offset_file": "/d/x.edf"}
    old = replace(revision(), geometry=replace(GEOMETRY, wavelength=WAVELENGTH, detector_config=config))
    status, reason = status_and_reason(old, (), links())
    assert status == "VALID"
    for key, path in config.items():
        assert f"revision 7: detector_config.{key} names the file {path} without its SHA-256: commit it" in reason
    assert status_and_reason(old, (), links(z=1500.0))[1].startswith(f"{Z_FAR}; revision 7: detector_config.")
    files = {key: {"path": path, "sha256": "a" * 64} for key, path in config.items()}
    assert status_and_reason(replace(old, provenance={"files": files}), (), links()) == ("VALID", "")
