"""Reading and writing of PONI texts, strictly.

pyFAI itself accepts incomplete files: a truncated one loads with defaults, and entries appended to one another
are merged. This module returns one complete geometry or raises an error that names what is missing. It reads
versions 1, 2, 2.1 and 3, of several entries the last one; it writes 2.1, or 3 where parallax or a sensor need it.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import cast

from ponikeeper.errors import GeometryError, PoniError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import PARAMETERS, PLAIN_NUMBER
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import to_ascii

_VERSIONS = ("1", "2", "2.1", "3")
_HEADER = "Nota: C-Order"  # pyFAI opens each entry with this comment
_DONE = re.compile(r"#\s*Calibration done (?:at|on) (.+)")
_LINE_END = re.compile(r"\r\n|\n|\r")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of such a byte
_ALIASES = {"dist": "distance"}
_NUMBERS = ("Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength")
_PIXELS = ("PixelSize1", "PixelSize2")
_REQUIRED = {
    "1": (*_PIXELS, *_NUMBERS),
    "2": ("Detector", "Detector_config", *_NUMBERS),
    "2.1": ("Detector", "Detector_config", *_NUMBERS),
    "3": ("Detector", "Detector_config", *_NUMBERS, "Parallax"),
}
_OPTIONAL = {"1": ("Detector", "SplineFile"), "2": (), "2.1": (), "3": ()}


@dataclass(frozen=True, slots=True)
class DatedGeometry:
    """A geometry with the time at which it was calibrated.

    Parameters
    ----------
    geometry
        The geometry of one entry.
    calibrated
        By the clock of the host that wrote the entry; None where the entry has no time, or one that cannot be read.
    time_text
        The time as the entry has it; empty where it has none.
    """

    geometry: Geometry
    calibrated: datetime | None
    time_text: str


def read(text: str | bytes, wavelength: float | None = None) -> Geometry:
    """Parse a PONI text to the geometry of its last entry.

    Parameters
    ----------
    text
        PONI version 1, 2, 2.1 or 3; any line ends; a line that starts with ``#`` is a comment. ``poni_version`` may
        be anywhere in a text of one entry, values may be in quotes. Bytes are UTF-8, comments may have any encoding.
    wavelength
        Of an entry without one (m): old programs wrote none.

    Returns
    -------
    Geometry
        The geometry of the last entry.

    Raises
    ------
    PoniError
        The text is truncated, incomplete or not a PONI; each problem names a key.
    """
    *_, entry = _entries(_decoded(text))
    return _read(entry, wavelength)


def read_all(text: str | bytes, wavelength: float | None = None, zone: tzinfo | None = None) -> list[DatedGeometry]:
    """Parse every entry of a PONI text, with the times that pyFAI wrote in comments.

    Parameters
    ----------
    text, wavelength
        As for `read`.
    zone
        Time zone of the host that wrote the times; None is that of this host.

    Returns
    -------
    list of DatedGeometry
        The entries in the order of the text.

    Raises
    ------
    PoniError
        As `read`, for any entry.
    """
    entries = _entries(_decoded(text))
    return [DatedGeometry(_read(entry, wavelength), _time(entry.done, zone), entry.done) for entry in entries]


def _read(entry: "_Entry", wavelength: float | None) -> Geometry:
    """Build the geometry of one entry."""
    if entry.values.get("wavelength", "").lower() == "none":
        del entry.values["wavelength"]
    if wavelength is not None and "wavelength" not in entry.values:
        entry.values["wavelength"] = repr(wavelength)
    version = entry.values.get("poni_version", "1")
    version = version.removesuffix(".0")
    if version not in _VERSIONS:
        raise PoniError(f"poni_version {_short(version)} is unknown: expected {', '.join(_VERSIONS)}")
    known = {key.lower() for key in ("poni_version", *_REQUIRED[version], *_OPTIONAL[version])}
    problems = [
        f"the key {_short(key)} does not belong in a PONI of version {version}"
        for key in entry.values
        if key not in known
    ]
    missing = [key for key in _REQUIRED[version] if key.lower() not in entry.values]
    if missing:
        problems.append(f"the {entry.place} is incomplete: {', '.join(missing)} missing (was the text cut?)")
    elif (last := list(entry.values)[-1]) in {key.lower() for key in _OPTIONAL[version]}:
        # else a text cut just before it would read as another geometry
        problems.append(f"{last} is the last key: expected it before {_REQUIRED[version][-1]}")
    if problems:
        raise PoniError(problems)
    return _geometry(version, entry.values)


def write(geometry: Geometry, comments: Sequence[str] = ()) -> str:
    """Format a geometry as a PONI text of one entry; ``read(write(g)) == g``.

    Nothing is added: without an orientation in `detector_config` none is written, and pyFAI uses its default.

    Parameters
    ----------
    geometry
        The geometry to write.
    comments
        For readers of the file, such as where the geometry comes from; each becomes one line of ASCII before the
        entry.

    Returns
    -------
    str
        Version 2.1, or 3 where the geometry has parallax or a sensor.
    """
    config = cast("dict[str, object]", geometry.as_dict()["detector_config"])
    parallax = config.pop("parallax", False)
    version = "3" if parallax or "sensor" in config else "2.1"
    config = {"pixel1": geometry.pixel1, "pixel2": geometry.pixel2, **config}
    lines = [
        *(f"# {to_ascii(' '.join(comment.split()))}" for comment in comments),
        f"# {_HEADER}, 1 refers to the Y axis, 2 to the X axis",
        f"poni_version: {version}",
        f"Detector: {_quoted(geometry.detector)}",
        f"Detector_config: {strictjson.dumps(config)}",
        f"Distance: {geometry.dist!r}",
        *(f"{name.capitalize()}: {getattr(geometry, name)!r}" for name in ("poni1", "poni2", "rot1", "rot2", "rot3")),
        f"Wavelength: {geometry.wavelength!r}",
    ]
    if version == "3":
        lines.append(f"Parallax: {bool(parallax)}")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    """Put a name into quotes that begins with one itself, so that it can be read again."""
    return strictjson.dumps(name) if name[0] in "'\"" else name


@dataclass(slots=True)
class _Entry:
    """One entry: its keys (lower case) and values, its place in the text, and the time of its comment."""

    place: str
    done: str = ""
    values: dict[str, str] = field(default_factory=dict[str, str])


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
        for number, line in enumerate(_LINE_END.split(text), start=1):
            wrong = _NOT_UTF8.search(line)
            if wrong is not None and not line.strip().startswith("#"):
                raise PoniError(
                    f"the text is not UTF-8: line {number} has the byte 0x{ord(wrong[0]) & 0xFF:02x}, "
                    "only comments may have other encodings"
                )
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise PoniError("the text holds a NUL character: expected a PONI text")
    return text


def _key(line: str) -> tuple[str, str, str]:
    """Split a line into its key (lower case), the colon and the value."""
    key, colon, value = line.lstrip("#").partition(":")
    return _ALIASES.get(key.strip().lower(), key.strip().lower()), colon, value


def _entries(text: str) -> list[_Entry]:
    """Split a text into its entries, as ``save()`` appends them."""
    entry = _Entry("entry")
    entries = [entry]
    lines = _unfolded(_lines(text))
    keys = [_key(line)[0] for _, line in lines if not line.startswith("#")]
    is_single = len(keys) == len(set(keys))  # programs that sort the keys write the version last
    for number, line in lines:
        comment = line.startswith("#")
        key, colon, value = _key(line)
        if not comment and not colon:
            raise PoniError(f'line {number} "{_short(line)}" has no colon: expected "Key: value"')
        starts = line.lstrip("# ").startswith(_HEADER) if comment else _begins_entry(key, entry, is_single)
        if starts and entry.values:
            if not comment and list(entry.values)[-1] in ("detector", "splinefile"):
                # without a header before it, that line may belong to this entry or to the last
                raise PoniError(f"line {number} repeats {key} without a header: expected # {_HEADER} between entries")
            entries[-1].place = f"entry (number {len(entries)})"
            entry = _Entry(f"last entry (number {len(entries) + 1})")
            entries.append(entry)
        if not comment:
            entry.values[key] = _unquoted(number, value.strip())
        elif (done := _DONE.match(line)) is not None:
            entry.done = done[1]
    return entries


def _unfolded(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Join the lines of quoted values, which writers of YAML fold."""
    whole: list[tuple[int, str]] = []
    is_open = False
    for number, line in lines:
        if is_open and not line.startswith("#"):
            whole[-1] = (whole[-1][0], f"{whole[-1][1]} {line}")
        else:
            whole.append((number, line))
        last = whole[-1][1]
        value = "" if last.startswith("#") else _key(last)[2].strip()
        is_open = value[:1] == "'" and not (len(value) > 1 and value.endswith("'"))
    return whole


def _unquoted(number: int, value: str) -> str:
    """Return a value without the quotes around it.

    Raises
    ------
    PoniError
        The closing quote is missing.
    """
    if value[:1] not in ("'", '"'):
        return value
    text: object = None
    if value[0] == "'" and len(value) > 1 and value[-1] == "'":
        text = value[1:-1].replace("''", "'")
    elif value[0] == '"':
        with contextlib.suppress(ValueError):
            text = strictjson.loads(value)
    if not isinstance(text, str):
        raise PoniError(f"line {number}: the value {_short(value)} is not closed: expected the same quote at its end")
    return text.strip()


def _begins_entry(key: str, entry: _Entry, is_single: bool) -> bool:
    return key in entry.values or (key == "poni_version" and not is_single)


def _time(text: str, zone: tzinfo | None) -> datetime | None:
    """Parse a time as ``time.ctime()`` writes it, or in ISO 8601."""
    for parse in (lambda: datetime.strptime(text, "%a %b %d %H:%M:%S %Y"), lambda: datetime.fromisoformat(text)):  # noqa: DTZ007
        with contextlib.suppress(ValueError, OverflowError):
            time = parse()
            return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone()
    return None


def _is_complete(line: str) -> bool:
    """Return whether the value of a line cannot continue: a closed JSON object, or one in quotes."""
    key, _, value = _key(line.strip())
    try:
        value, quoted = _unquoted(0, value.strip()), value.strip()[:1] in ("'", '"')
        closed = key == "detector_config" and isinstance(strictjson.loads(value), dict)
    except (PoniError, ValueError):
        return False
    return quoted or closed


_FILE_NAME = re.compile(r"\s*([/~.]\S*|\S+\.poni)\s*", re.IGNORECASE)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, numbered; refuse a last one that may be truncated."""
    lines = _LINE_END.split(text)
    unfinished = lines.pop()  # empty where the text ends with a line end
    comment = unfinished.lstrip().startswith("#") and not _HEADER.startswith(unfinished.strip("# "))  # a cut header
    if not lines and _FILE_NAME.fullmatch(unfinished):
        raise PoniError(
            f'"{_short(unfinished)}" is the name of a file: expected its text; '
            f"type: ponikeeper put PREFIX {_short(unfinished.strip())}"
        )
    if unfinished.strip() and not comment and not _is_complete(unfinished):
        raise PoniError(
            f'the last line "{_short(unfinished)}" has no line end: the text was probably cut there, and what is left '
            "of a value is another one; expected a whole file: compare it with the original, and if it is whole, "
            "end it with a newline: echo >> FILE.poni"
        )
    for number, line in enumerate([*lines, unfinished], start=1):
        if line.strip():
            yield number, line.strip()


def _geometry(version: str, values: dict[str, str]) -> Geometry:
    problems: list[str] = []
    geometry: dict[str, object] = {"detector": values.get("detector", "Detector"), "detector_config": {}}
    for key in _NUMBERS:
        name = "dist" if key == "Distance" else key.lower()
        geometry[name] = _number(values[key.lower()])
    if version == "1":
        for name, key in zip(("pixel1", "pixel2"), _PIXELS, strict=True):
            geometry[name] = _number(values[key.lower()])
        if values.get("splinefile", "None").lower() not in ("none", ""):
            geometry["detector_config"] = {"splineFile": values["splinefile"]}
    else:
        _take_config(values, geometry, problems)
    if version == "3":
        _take_parallax(values["parallax"], geometry, problems)
    if problems:  # the numbers are checked too, so that all problems are reported at once
        checked = (parameter.problem(geometry[name]) for name, parameter in PARAMETERS.items() if name in geometry)
        raise PoniError([*problems, *(problem for problem in checked if problem)])
    try:
        return Geometry.parse(geometry)
    except GeometryError as error:
        raise PoniError(error.problems) from None


def _take_config(values: dict[str, str], geometry: dict[str, object], problems: list[str]) -> None:
    """Parse the configuration of the detector; take the pixel sizes from it, or from the table."""
    try:
        config = strictjson.loads(values["detector_config"])
    except ValueError as error:
        problems.append(f"Detector_config is not valid JSON: {error}")
        return
    if not isinstance(config, dict):
        problems.append(f"Detector_config {_short(values['detector_config'])} is not a JSON object")
        return
    config = cast("dict[str, object]", config)
    if "parallax" in config:
        problems.append("Detector_config holds parallax: expected it as the key Parallax of a PONI of version 3")
    pixels = pixel_size(values["detector"])
    given = {name: config.pop(name, None) for name in ("pixel1", "pixel2")}
    missing = [name for name, value in given.items() if value is None]
    if pixels is not None:
        given |= {name: size for name, size in zip(given, pixels, strict=True) if name in missing}
    elif missing:
        detector = _short(values["detector"])
        problems.append(
            f"Detector_config names no {', '.join(missing)} and the detector {detector} is not in the table"
        )
    geometry |= {name: value for name, value in given.items() if value is not None}
    geometry["detector_config"] = config


def _take_parallax(text: str, geometry: dict[str, object], problems: list[str]) -> None:
    if text.lower() not in ("true", "false"):
        problems.append(f"Parallax {_short(text)} is not allowed: expected True or False")
    elif text.lower() == "true":
        geometry["detector_config"] = {**cast("dict[str, object]", geometry["detector_config"]), "parallax": True}


def _number(text: str) -> float | str:
    """Return the number, or the text unchanged: the check of the geometry reports it."""
    return float(text) if PLAIN_NUMBER.fullmatch(text) else text


def _short(text: str) -> str:
    return ascii(text.strip())[1:-1][:60]
