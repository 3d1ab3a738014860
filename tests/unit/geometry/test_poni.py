"""A PONI text gives one complete geometry or an error, never a default or a mixture of two entries."""

import dataclasses
import itertools
import json
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from ponikeeper.errors import PoniError
from ponikeeper.geometry import Geometry, poni
from strategies import VALUES, geometries

HEADER = "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis\n"


def body(dist=0.2, wavelength="4.066e-11"):
    numbers = {"Distance": dist, "Poni1": 0.0872, "Poni2": 0.0799, "Rot1": -0.0184, "Rot2": 0.0041, "Rot3": -2.7e-08}
    return "".join(f"{key}: {value}\n" for key, value in numbers.items()) + f"Wavelength: {wavelength}\n"


def version1(dist=0.2, detector=""):
    head = f"PixelSize1: 0.000172\nPixelSize2: 0.000172\n{detector}"
    return head + body(dist).replace("Wavelength", "SplineFile: None\nWavelength")


def version2(dist=0.2, version="2", config='{"pixel1": 0.0002, "pixel2": 0.0002}', detector="Perkin"):
    return f"poni_version: {version}\nDetector: {detector}\nDetector_config: {config}\n{body(dist)}"


def version21(dist=0.2):
    return version2(dist, "2.1", '{"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 2}')


def version3(dist=0.2):
    sensor = '{"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 3, "sensor": {"material": "Si", "thickness": 0.0003}}'
    return version2(dist, "3", sensor) + "Parallax: True\n"


VERSIONS = {"1": version1, "2": version2, "2.1": version21, "3": version3}
PAIRS = list(itertools.product(VERSIONS, VERSIONS))
EXPECTED = {
    "1": ("Detector", 0.000172, {}),
    "2": ("Perkin", 0.0002, {}),
    "2.1": ("Perkin", 0.0002, {"orientation": 2}),
    "3": ("Perkin", 0.0002, {"orientation": 3, "sensor": {"material": "Si", "thickness": 0.0003}, "parallax": True}),
}


def expected(version, dist=0.2):
    detector, pixel, config = EXPECTED[version]
    numbers = (dist, 0.0872, 0.0799, -0.0184, 0.0041, -2.7e-08, pixel, pixel, 4.066e-11)
    return Geometry(*numbers, detector, config)


def problems_of(text):
    with pytest.raises(PoniError) as refusal:
        poni.read(text)
    assert str(refusal.value).isascii()
    return list(refusal.value.problems)


def read_or_none(text):
    try:
        return poni.read(text)
    except PoniError:
        return None


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_reads_to_its_values(version):
    text = VERSIONS[version]()
    assert poni.read(text) == poni.read(text.encode()) == poni.read(HEADER + text) == expected(version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\n\n# a comment: with a colon, and an ångström\n   \n"),
        lambda text: text + "# Calibrant: LaB6\n# no line end, but then it says nothing either",
        lambda text: text.replace(": ", " :   ").replace("\n", "  \n\t"),
        lambda text: text.replace("Distance", "dist"),
        lambda text: "".join(key.upper() + colon + rest for key, colon, rest in parts(text)),
        lambda text: "".join(key.lower() + colon + rest for key, colon, rest in parts(text)),
        lambda text: text.replace("poni_version: 2\n", "poni_version: 2.0\n").replace(": 3\n", ": 3.0\n"),
    ],
    ids=["CRLF", "CR", "BOM", "comments", "trailing", "spaces", "dist", "upper", "lower", "version-as-float"],
)
def test_same_text_in_another_dress_reads_to_the_same(version, disguise):
    text = disguise(HEADER + VERSIONS[version]())
    assert poni.read(text) == poni.read(text.encode()) == expected(version)


@pytest.mark.parametrize("version", ["2", "2.1", "3"])
def test_version_may_be_anywhere_in_a_text_of_one_entry(version):
    first, *others = VERSIONS[version]().splitlines(keepends=True)
    for place in range(len(others) + 1):
        text = "".join([*others[:place], first, *others[place:]])
        assert poni.read(text) == expected(version)
    assert poni.read("".join(sorted([first, *others]))) == expected(version)


@pytest.mark.parametrize("version", ["2", "2.1", "3"])
def test_text_with_the_version_last_is_refused_wherever_it_is_cut(version):
    first, *others = VERSIONS[version]().splitlines(keepends=True)
    text = "".join([*others, first])
    for cut in range(len(text)):
        assert read_or_none(text[:cut].encode()) is None


def test_version_begins_an_entry_where_the_text_has_several():
    text = version1(0.1) + version2(0.3)
    assert poni.read(text).dist == 0.3
    with pytest.raises(PoniError, match=r"incomplete|does not belong"):
        poni.read(version1(0.1) + version2(0.3).partition("Distance")[0])


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1251", "utf-16-be"])
def test_comments_may_have_any_encoding(encoding):
    comment = b"  # " + "Ni \u0414".encode(encoding, "replace") + "µm\xe9".encode("cp1252") + b"\n"
    comment = comment.replace(b"\0", b"")
    assert poni.read(HEADER.encode() + comment + version2().encode() + comment) == expected("2")


def test_values_that_are_not_utf8_are_refused_with_their_line():
    with pytest.raises(PoniError, match="the text is not UTF-8: line 2 has the byte 0xe9"):
        poni.read(version2(detector="Perkin\xe9").encode("cp1252"))


def parts(text):
    return [line.partition(":") for line in text.splitlines(keepends=True)]


@given(geometries())
def test_geometry_survives_writing_and_reading(geometry):
    text = poni.write(geometry)
    assert text.isascii()
    assert poni.read(text) == poni.read(text.encode()) == geometry
    assert poni.write(poni.read(text)) == text


@pytest.mark.parametrize(
    ("config", "version"),
    [
        ({}, "2.1"),
        ({"orientation": 2, "max_shape": [1, 2]}, "2.1"),
        ({"parallax": False}, "2.1"),
        ({"parallax": True}, "3"),
        ({"sensor": {"material": "Si"}}, "3"),
    ],
)
def test_version_3_is_written_only_where_it_is_needed(config, version):
    text = poni.write(Geometry(**(VALUES | {"detector_config": config})))
    lines = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines["poni_version"] == version
    assert lines.get("Parallax") == (str(config.get("parallax", False)) if version == "3" else None)
    kept = {key: value for key, value in config.items() if key != "parallax"}
    assert json.loads(lines["Detector_config"]) == {"pixel1": 0.0002, "pixel2": 0.0002, **kept}  # and nothing added


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("version", VERSIONS)
def test_text_cut_at_any_byte_reads_to_the_same_geometry_or_is_refused(version, newline):
    whole = (HEADER + "# µm: a comment\n" + VERSIONS[version]() + "# Image: x.tif\n").replace("\n", newline).encode()
    last_value = whole.index(b"# Image") - len(newline) + 1  # a bare CR ends a line too
    for cut in range(len(whole) + 1):
        read = read_or_none(whole[:cut])
        assert read in (None, expected(version))
        assert (read is None) or cut >= last_value
    assert read == expected(version)


def sorted_version21():
    """Return version 2.1 with its keys sorted, as ``yaml.dump`` writes them: poni_version is last."""
    return "".join(sorted(version21().splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("text", "last", "cut"),
    [
        (sorted_version21(), "poni_version: 2.1", "poni_version: 2"),
        (version21(), "Wavelength: 4.066e-11", "Wavelength: 4.066e-1"),
        (version3(), "Parallax: True", "Parallax: Tru"),
        (version2(detector="Pilatus100k"), "Wavelength: 4.066e-11", "Wavelength: 4"),
    ],
)
def test_value_that_may_have_been_cut_is_refused_with_what_to_type(text, last, cut):
    """What is left of a number is a number, too: without the line end no one can tell 2 from 2.1."""
    assert text.endswith(f"{last}\n")
    for line in (last, cut):
        with pytest.raises(PoniError) as caught:
            poni.read(text.removesuffix(f"{last}\n") + line)
        assert str(caught.value) == (
            f'the last line "{line}" has no line end: the text was probably cut there, and what is left of a value is '
            "another one; expected a whole file: compare it with the original, and if it is whole, end it with a "
            "newline: echo >> FILE.poni"
        )
    assert poni.read(text) == poni.read(text.removesuffix("\n") + "\n")  # what echo makes of it


def test_number_that_was_cut_would_be_read_as_another_one():
    lines = version2(0.25).splitlines(keepends=True)
    text = "".join(sorted(lines, key=lambda line: line.startswith("Distance")))
    assert text.endswith("Distance: 0.25\n")
    assert poni.read(text).dist == 0.25
    assert poni.read(text[:-2] + "\n").dist == 0.2
    for end in (-1, -2):
        with pytest.raises(PoniError, match="has no line end"):
            poni.read(text[:end])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("versions", PAIRS, ids="-then-".join)
def test_two_entries_cut_at_any_byte_give_the_first_only_while_the_second_has_not_begun(versions, newline):
    first, second = (
        (HEADER + VERSIONS[version](dist)).replace("\n", newline)
        for version, dist in zip(versions, (0.1, 0.2), strict=True)
    )
    whole = first + second
    begun, finished = len(first) + 1, len(whole.rstrip()) + 1
    for cut in range(len(whole) + 1):
        read = read_or_none(whole[:cut])
        if cut <= len(first.rstrip()) or begun <= cut < finished:
            assert read is None, whole[:cut]
        else:
            assert read == (expected(versions[0], 0.1) if cut < begun else expected(versions[1]))


@pytest.mark.parametrize("versions", PAIRS, ids="-then-".join)
def test_two_entries_without_a_header_between_are_never_mixed(versions):
    first, second = (VERSIONS[version](dist) for version, dist in zip(versions, (0.1, 0.2), strict=True))
    whole = first + second
    for cut in range(len(first) + 1, len(whole)):
        assert read_or_none(whole[:cut]) is None
    # a version 1 has no line by which it begins: after another version it is taken for a part of that, and refused
    told_apart = versions[1] != "1" or versions[0] == "1"
    assert read_or_none(whole) == (expected(versions[1]) if told_apart else None)


def test_of_many_entries_the_last_is_read_and_named_when_it_is_bad():
    entries = [HEADER + VERSIONS[version](0.1 * number) for number, version in enumerate(VERSIONS, start=1)]
    assert poni.read("\n".join(entries)) == expected("3", 0.4)
    assert poni.read("".join(reversed(entries))) == expected("1", 0.1)
    bad = HEADER + version21().replace("Rot3: -2.7e-08\n", "")
    assert problems_of("".join([*entries, bad])) == [
        "the last entry (number 5) is incomplete: Rot3 missing (was the text cut?)"
    ]
    assert poni.read("".join([bad, *entries])) == expected("3", 0.4)  # what was replaced does not matter any more


def test_line_that_could_belong_to_either_of_two_entries_is_refused():
    assert problems_of(version1() + "Detector: Pilatus1M\n" + version1(0.1)) == [
        "line 12 repeats pixelsize1 without a header: expected # Nota: C-Order between entries"
    ]
    assert poni.read(version1() + HEADER + "Detector: Pilatus1M\n" + version1(0.1)).detector == "Pilatus1M"


REQUIRED = {
    "1": ["PixelSize1", "PixelSize2"],
    "2": ["Detector", "Detector_config"],
    "2.1": ["Detector", "Detector_config"],
    "3": ["Detector", "Detector_config", "Parallax"],
}
NUMBERS = ["Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength"]


@pytest.mark.parametrize(("version", "key"), [(v, key) for v, keys in REQUIRED.items() for key in [*keys, *NUMBERS]])
def test_every_key_is_required_and_named_when_missing(version, key):
    lines = [line for line in VERSIONS[version]().splitlines(keepends=True) if not line.startswith(f"{key}:")]
    problems = problems_of("".join(lines))
    assert f"the entry is incomplete: {key} missing (was the text cut?)" in problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the entry is incomplete: PixelSize1, PixelSize2, Distance, Poni1, Poni2, Rot1, Rot2, Rot3, Wavelength"),
        (version2(version="4"), "poni_version 4 is unknown: expected 1, 2, 2.1, 3"),
        (version2(version="2.2"), "poni_version 2.2 is unknown"),
        (version2(version="å"), "poni_version \\xe5 is unknown"),
        (version2() + "Mask: x.edf\n", "the key mask does not belong in a PONI of version 2"),
        (version2() + "Parallax: True\n", "the key parallax does not belong in a PONI of version 2"),
        (version2() + "å: 1\n", "the key \\xe5 does not belong"),
        (version1() + "Detector: Perkin\n", "detector is the last key: expected it before Wavelength"),
        (version2() + "and so on\n", 'line 11 "and so on" has no colon: expected "Key: value"'),
        (version2()[:-1], 'the last line "Wavelength: 4.066e-11" has no line end: the text was probably cut there'),
        ("/data/near.poni", '"/data/near.poni" is the name of a file: expected its text; type: ponikeeper put PREFIX'),
        ("near.PONI ", '"near.PONI" is the name of a file'),
        (version2() + "# Nota", 'the last line "# Nota" has no line end'),
        (version2() + "\0", "the text holds a NUL character"),
        (version2(config="{}", detector="MyOwn"), "Detector_config names no pixel1, pixel2 and the detector MyOwn"),
        (version2(config='{"pixel1": 0.0001}', detector="Detector"), "Detector_config names no pixel2 and"),
        (version2(config='{"pixel1": "1e-4"}'), 'pixel1 "1e-4" is not a number: expected 1e-06 <= pixel1 <= 0.01 m'),
        (version2(config='{"Pixel1": 0.0001}'), "detector_config holds Pixel1: give it as the value pixel1"),
        (version2(config="[1]"), "Detector_config [1] is not a JSON object"),
        (version2(config="null"), "Detector_config null is not a JSON object"),
        (version2(config='{"pixel1": NaN}'), "Detector_config is not valid JSON: NaN is not valid JSON"),
        (
            version2(config='{"pixel1": 1, "pixel1": 1}'),
            'Detector_config is not valid JSON: the key "pixel1" is used twice',
        ),
        (version2(config='{"parallax": true}'), "Detector_config holds parallax: expected it as the key Parallax"),
        (version2(config='{"orientation": 7}'), "detector_config.orientation 7 is not allowed"),
        (version2(detector=""), 'detector "" is empty'),
        (version2(detector="Å"), 'detector "\\u00c5" is empty, padded or not printable ASCII'),
        (version3().replace("Parallax: True", "Parallax: 1"), "Parallax 1 is not allowed: expected True or False"),
        (version2(dist="nan"), 'dist "nan" is not a number'),
        (version2(dist="1e999"), "dist inf is not finite"),
        (version2(dist="0.2 # m"), 'dist "0.2 # m" is not a number'),
        (version2(dist="1_0"), 'dist "1_0" is not a number'),
        (version2(dist="٣"), 'dist "\\u0663" is not a number'),
        (version2(dist=""), 'dist "" is not a number'),
        (version2(dist="234.4"), "dist 234.4 m looks like millimetre: write 0.2344"),
        (version2().replace("4.066e-11", "0.4066"), "wavelength 0.4066 m looks like angstrom: write 4.066e-11"),
    ],
)
def test_text_that_is_not_one_whole_geometry_is_refused_with_the_reason(text, problem):
    (only,) = problems_of(text)
    assert only.startswith(problem)


def test_all_poni_problems_are_reported_at_once():
    text = version2("x", "3", '{"pixel2": 7, "parallax": true}', "MyOwn") + "Parallax: maybe\n"
    starts = ["Detector_config holds", "Detector_config names no pixel1", "Parallax maybe", 'dist "x"', "pixel2 7.0 m"]
    problems = problems_of(text)
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(problems, starts, strict=True)), problems


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("position", "line", "byte"),
    [(0, 1, b"\xff"), (len(HEADER), 2, b"\xe9"), (len(HEADER + version2()), len(version2().splitlines()) + 2, b"\xc3")],
)
def test_bytes_that_are_no_utf8_are_refused_and_located(position, line, byte, newline):
    before, after = ((HEADER + version2())[part].encode() for part in (slice(position), slice(position, None)))
    message = f"the text is not UTF-8: line {line} has the byte 0x{byte.hex()}, only comments may have other encodings"
    text = b"".join((before, byte, after)).replace(b"\n", newline.encode())
    assert problems_of(text) == [message]
    assert problems_of((HEADER + version2()).encode("utf-16"))[0].startswith("the text is not UTF-8: line 1 has")


@pytest.mark.parametrize(("name", "pixel"), [("Pilatus1M", 0.000172), ("Perkin detector", 0.0002)])
def test_known_detector_without_pixels_gets_them_from_the_table(name, pixel):
    geometry = poni.read(version2(config="{}", detector=name))
    same = dataclasses.replace(expected("2"), detector=name, pixel1=pixel, pixel2=pixel)
    assert geometry == same == poni.read(version2(config='{"pixel1": null}', detector=name))
    assert poni.read(poni.write(geometry)) == geometry


def test_given_pixels_take_precedence_over_the_table():
    assert poni.read(version2(config='{"pixel1": 0.0004, "pixel2": 0.0005}')).pixel1 == 0.0004


def quoted(text, quote):
    """Put each value into quotes, as programs that write YAML do."""
    lines = [line.partition(": ") for line in text.splitlines()]
    wrap = json.dumps if quote == '"' else lambda value: "'" + value.replace("'", "''") + "'"
    return "".join(f"{key}: {wrap(value)}\n" for key, _, value in lines)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("text", [version1(), version2(), version21(), version3()])
def test_values_in_quotes_are_read(text, quote):
    whole = quoted(text, quote)
    assert poni.read(whole) == poni.read(text)
    assert poni.read(whole[:-1]) == poni.read(text)  # the closing quote ends the last value
    for end in range(1, len(whole) - 1):
        assert read_or_none(whole[:end].encode()) is None


def test_quoted_value_that_a_writer_of_yaml_folded_is_read():
    config = """'{"pixel1": 0.0002, "pixel2": 0.0002, "max_shape": [2048, 2048],\n  "orientation": 2}'"""
    text = version21().replace('{"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 2}', config)
    assert config in text
    assert poni.read(text).detector_config == {"max_shape": (2048, 2048), "orientation": 2}


@pytest.mark.parametrize("value", ["'Perkin", '"Perkin', "'", '"Perkin" II'])
def test_value_whose_quote_is_not_closed_is_refused(value):
    with pytest.raises(PoniError, match=r"is not closed: expected the same quote at its end|missing"):
        poni.read(version2().replace("Detector: Perkin", f"Detector: {value}"))


def test_closed_object_needs_no_line_end():
    lines = version2().splitlines()
    config = next(line for line in lines if line.startswith("Detector_config"))
    text = "\n".join([*(line for line in lines if line != config), config])
    assert poni.read(text) == poni.read(version2())
    for end in range(len(text) - len(config), len(text)):
        assert read_or_none(text[:end].encode()) is None


@pytest.mark.parametrize("none", ["", "Wavelength: None\n"])
@pytest.mark.parametrize("text", [version1(), version2(), version21(), version3()])
def test_wavelength_is_that_of_the_caller_only_where_the_entry_has_none(text, none):
    old = text.replace("Wavelength: 4.066e-11\n", none)
    assert old != text
    with pytest.raises(PoniError, match="incomplete: Wavelength missing"):
        poni.read(old)
    assert poni.read(old, 1.25e-11).wavelength == 1.25e-11
    assert poni.read(text, 1.25e-11) == poni.read(text)
    both = HEADER + text + HEADER + old
    assert [each.geometry.wavelength for each in poni.read_all(both, 1.25e-11)] == [4.066e-11, 1.25e-11]


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 13), ("America/New_York", 18), ("Asia/Tokyo", 4)])
def test_time_of_an_entry_is_in_the_zone_of_its_host(zone, hour):
    text = HEADER + "# Calibration done at Fri Feb 27 13:52:42 2015\n" + version1()
    (entry,) = poni.read_all(text, zone=ZoneInfo(zone))
    assert entry.calibrated.astimezone(UTC).hour == hour
