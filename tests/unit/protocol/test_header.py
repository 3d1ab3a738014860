"""The header says what the snapshot says, fits its PV, and is refused where it was cut or changed."""

import base64
import struct
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ponikeeper.errors import GeometryError, MessageError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol import Snapshot, Status
from ponikeeper.protocol.header import LENGTH, config_hash, parse_header, short_uid, write_header
from strategies import VALUES, geometries

UID = "5f3f0f3c-5b0e-4d4e-9a64-3d3e0c6f6a51"
LARGEST = 2**31 - 1
LONGEST = Geometry(**{**VALUES, "detector": "x" * 38, "detector_config": {"k": "v" * 200}})

NOT_WHOLE = r"cut or changed|not a header|empty"


def snapshot(geometry=None, **more):
    return Snapshot(
        **{
            "prefix": "P:", "status": "VALID", "reason": "", "serial": 34, "revision": 12, "uid": UID,
            "geometry": geometry or Geometry(**VALUES), **more,
        }
    )  # fmt: skip


def with_checksum(body):
    return f"{body} {zlib.crc32(body.encode()):08x}"


@given(geometries(), st.sampled_from(sorted(Status.__members__)), st.integers(1, LARGEST), st.integers(1, LARGEST))
@example(
    Geometry(**{**VALUES, "detector": "x" * 38, "detector_config": {"k": "v" * 200}}), "OUT_OF_RANGE", LARGEST, LARGEST
)
def test_header_says_what_the_snapshot_says_to_the_last_bit(geometry, status, revision, serial):
    text = write_header(snapshot(geometry, status=status, revision=revision, serial=serial))
    assert len(text) < LENGTH
    assert text.isascii()
    assert text.isprintable()
    header = parse_header(text)
    assert (header.revision, header.serial, header.status, header.uid) == (revision, serial, status, "5f3f0f3c5b0e")
    read = header.geometry(geometry.detector_config)
    assert read == geometry
    for name in PARAMETERS:  # -0.0 == 0.0
        assert struct.pack("d", getattr(read, name)) == struct.pack("d", getattr(geometry, name))


def test_header_has_the_configuration_itself_where_it_is_short():
    header = parse_header(write_header(snapshot()))
    assert header.geometry() == Geometry(**VALUES)
    assert header.config_hash == config_hash(VALUES["detector_config"])


def test_long_configuration_is_needed_from_the_history_and_compared():
    config = {"orientation": 2, "note": "x" * 100}
    geometry = Geometry(**{**VALUES, "detector_config": config})
    header = parse_header(write_header(snapshot(geometry)))
    assert header.detector_config is None
    with pytest.raises(GeometryError, match="detector_config of revision 12 is too long for the header"):
        header.geometry()
    with pytest.raises(GeometryError, match="this is not the detector_config of revision 12: its hash differs"):
        header.geometry({"orientation": 3, "note": "x" * 100})
    assert header.geometry(config) == geometry


def test_header_without_a_geometry():
    text = write_header(Snapshot("P:", "UNSET", "nothing was committed"))
    assert text.startswith("PK1 0 - 0 UNSET - - - ")
    header = parse_header(text)
    assert (header.revision, header.uid, header.serial, header.status) == (0, "", 0, "UNSET")
    assert header.geometry() is None


def test_status_of_a_moved_detector_is_in_its_header():
    assert parse_header(write_header(snapshot(status="MOVED"))).status == "MOVED"


@pytest.mark.parametrize(
    "config", [{}, {"orientation": 3}, {"note": "a b  c"}, {"k": "x" * 300}], ids=["none", "short", "blanks", "long"]
)
def test_each_cut_is_refused(config):
    text = write_header(snapshot(Geometry(**{**VALUES, "detector": "Perkin detector", "detector_config": config})))
    assert parse_header(text + "\0\0").revision == 12
    for length in range(len(text)):
        with pytest.raises(MessageError, match=NOT_WHOLE):
            parse_header(text[:length])
        with pytest.raises(MessageError, match=NOT_WHOLE):
            parse_header(text[length + 1 :])


@given(st.data())
def test_each_change_of_a_character_is_refused(data):
    text = write_header(snapshot())
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=255).filter(lambda character: character != text[place]))
    with pytest.raises(MessageError):
        parse_header(text[:place] + other + text[place + 1 :])


@given(st.text(max_size=LENGTH))
def test_any_other_text_is_refused(text):
    with pytest.raises(MessageError):
        parse_header(text)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("PK1 12", "it has 2 fields"),
        ("PK1 x uid 34 VALID - - -", "invalid literal for int"),
        ("PK1 12 uid 34 VALID AAAA Perkin {}", "3 bytes are not the 9 numbers of a geometry"),
        ("PK1 12 uid 34 VALID AAA Perkin {}", "Incorrect padding"),
        ("PK1 12 uid 34 VALID - Perkin", "the detector or its configuration is missing"),
        (f"PK1 12 uid 34 VALID {base64.b64encode(bytes(72)).decode()} Perkin [1]", r"\[1\] is not a JSON object"),
    ],
)
def test_header_with_other_fields_is_refused(body, why):
    with pytest.raises(MessageError, match=f"this is not a header of version PK1: .*{why}"):
        parse_header(with_checksum(body))


def test_newer_header_is_refused_by_its_version():
    with pytest.raises(MessageError, match="the header has version PK2, which a newer ponikeeper wrote: expected PK1"):
        parse_header(with_checksum("PK2 12 uid"))


def test_short_uid_has_no_hyphens():
    assert short_uid(UID) == "5f3f0f3c5b0e"
    assert short_uid("of 2020") == "of2020"
