"""Values as Channel Access sends them: a reading in any of the 38 DBR types, as EPICS base converts it. Pure.

The layouts are those of ``db_access.h`` of EPICS base, the conversions those of ``dbConvert.c``; both were
compared with a softIoc, type by type.
"""

import math
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE = range(7)
"""The seven plain types; a DBR type is one of them plus 7 (STS), 14 (TIME), 21 (GR) or 28 (CTRL)."""

PUT_ACKT, PUT_ACKS, STSACK_STRING, CLASS_NAME = 35, 36, 37, 38
LAST_TYPE = CLASS_NAME

STRING_SIZE = 40
UNITS_SIZE = 8
MAX_STATES = 16
STATE_SIZE = 26

ITEM_SIZES = (STRING_SIZE, 2, 4, 2, 1, 4, 8)
"""Bytes of one element, by plain type."""

EPICS_EPOCH = 631152000
"""Seconds from 1970-01-01 to 1990-01-01 (UTC), where the timestamps of EPICS begin."""

_CODES = ("40s", "h", "f", "H", "b", "i", "d")
_WHOLE = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|\d+)")
_REAL = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?))", re.IGNORECASE)
_HEX = re.compile(r"\s*[+-]?0[xX][0-9a-fA-F]+")
_RANGES = {SHORT: (-(2**15), 2**15 - 1), CHAR: (-(2**7), 2**7 - 1), LONG: (-(2**31), 2**31 - 1)}
_FLOAT_MAX, _FLOAT_MIN = 3.4028234663852886e38, 1.1754943508222875e-38

_STS_PADS = (0, 0, 0, 0, 1, 0, 4)
_TIME_PADS = (0, 2, 0, 2, 3, 0, 4)
_STATUS = struct.Struct(">HH")
_STAMPED = struct.Struct(">HHII")


class GetFailedError(ValueError):
    """The value cannot be converted to the type that a client requests."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a channel has besides its value; it never changes.

    Parameters
    ----------
    units
        ASCII; clients see the first eight characters (EPICS base sends seven).
    precision
        Decimals in which a number is shown.
    display_limits, control_limits
        Lower and upper limit, in the units of the value.
    states
        Names of an enum's values.
    record_type
        Reported as the class name.
    """

    units: str = ""
    precision: int = 0
    display_limits: tuple[float, float] = (0.0, 0.0)
    control_limits: tuple[float, float] = (0.0, 0.0)
    states: tuple[str, ...] = ()
    record_type: str = ""


class Reading(NamedTuple):
    """The value of a channel at one time.

    ``value`` is str (STRING), int (SHORT, LONG, and ENUM: the index), float (FLOAT, DOUBLE) or bytes (CHAR, an array);
    ``seconds`` count from 1990.
    """

    native: int
    value: str | int | float | bytes
    status: int = 0
    severity: int = 0
    seconds: int = 0
    nanoseconds: int = 0


def stamp_of(timestamp: float) -> tuple[int, int]:
    """Return the seconds from 1990 and the nanoseconds of a time (s since 1970)."""
    seconds = int(timestamp)
    return seconds - EPICS_EPOCH, int((timestamp - seconds) * 1e9)


def item_size(data_type: int) -> int:
    """Return the bytes of one element of a DBR type."""
    return ITEM_SIZES[data_type % 7] if data_type < PUT_ACKT else STRING_SIZE if data_type > PUT_ACKS else 2


def metadata_size(data_type: int) -> int:
    """Return the bytes before the first element of a DBR type."""
    if data_type >= PUT_ACKT:
        return 8 if data_type == STSACK_STRING else 0
    group, plain = divmod(data_type, 7)
    if group == 0:
        return 0
    if group == 1 or (plain == STRING and group >= 3):
        return 4 + _STS_PADS[plain]
    if group == 2:
        return 12 + _TIME_PADS[plain]
    if plain == ENUM:
        return 6 + MAX_STATES * STATE_SIZE
    limits = 6 if group == 3 else 8
    return 4 + (4 if plain in (FLOAT, DOUBLE) else 0) + UNITS_SIZE + limits * ITEM_SIZES[plain] + (plain == CHAR)


def payload_size(data_type: int, count: int) -> int:
    """Return the bytes of a payload, without the padding to a multiple of 8."""
    return metadata_size(data_type) + count * item_size(data_type)


def encode(reading: Reading, metadata: Metadata, data_type: int, count: int) -> tuple[int, bytes]:
    """Write a reading as a DBR type.

    Parameters
    ----------
    reading
        The value with alarm and time.
    metadata
        Units, limits and states.
    data_type
        0 to 38.
    count
        Number of elements; 0 for those that the value has. Elements that it does not have are zero.

    Returns
    -------
    tuple of int and bytes
        Number of elements, and the payload, padded to a multiple of 8 bytes.

    Raises
    ------
    GetFailedError
        The value cannot be converted to this type.
    """
    if data_type >= PUT_ACKT:
        return _encode_special(reading, metadata, data_type, count)
    group, plain = divmod(data_type, 7)
    elements = _elements(reading, metadata, plain, count)
    size = ITEM_SIZES[plain]
    present = len(elements) // size
    if not count:
        count = present
    elif count > present:
        elements = elements.ljust(count * size, b"\0")
    elif count < present:
        elements = elements[: count * size]
    if group:
        elements = _before_value(reading, metadata, group, plain) + elements
    return count, padded(elements)


def encode_failure(data_type: int, count: int) -> tuple[int, bytes]:
    """Write the payload of a reading that cannot be converted, or may not be read: zeros, as EPICS base sends."""
    return count, padded(bytes(payload_size(data_type, count)))


def padded(payload: bytes) -> bytes:
    """Pad a payload to a multiple of 8 bytes."""
    return payload + bytes(-len(payload) % 8)


def _encode_special(reading: Reading, metadata: Metadata, data_type: int, count: int) -> tuple[int, bytes]:
    if data_type == CLASS_NAME:
        count = count or 1
        return count, padded(_string(metadata.record_type).ljust(STRING_SIZE * count, b"\0"))
    if data_type != STSACK_STRING:
        raise GetFailedError("an acknowledgement cannot be read")
    elements = _elements(reading, metadata, STRING, count)
    count = count or len(elements) // STRING_SIZE
    alarm = struct.pack(">HHHH", reading.status, reading.severity, 1, 0)
    return count, padded(alarm + elements[: STRING_SIZE * count].ljust(STRING_SIZE * count, b"\0"))


def _before_value(reading: Reading, metadata: Metadata, group: int, plain: int) -> bytes:
    if group == 2:
        stamp = _STAMPED.pack(reading.status, reading.severity, reading.seconds, reading.nanoseconds)
        return stamp + bytes(_TIME_PADS[plain])
    status = _STATUS.pack(reading.status, reading.severity)
    if group == 1 or plain == STRING:
        return status + bytes(_STS_PADS[plain])
    if plain == ENUM:
        states = metadata.states[:MAX_STATES]
        names = b"".join(state.encode("latin-1")[: STATE_SIZE - 1].ljust(STATE_SIZE, b"\0") for state in states)
        return status + struct.pack(">H", len(states)) + names.ljust(MAX_STATES * STATE_SIZE, b"\0")
    units = metadata.units.encode("latin-1", "replace")[:UNITS_SIZE].ljust(UNITS_SIZE, b"\0")
    precision = struct.pack(">hxx", metadata.precision) if plain in (FLOAT, DOUBLE) else b""
    low, high = metadata.display_limits
    limits = [high, low, *[math.nan] * 4]
    if group == 4:
        low, high = metadata.control_limits
        limits += [high, low]
    numbers = [_number_as(plain, limit) if math.isfinite(limit) or plain in (FLOAT, DOUBLE) else 0 for limit in limits]
    return status + precision + units + struct.pack(f">{len(numbers)}{_CODES[plain]}", *numbers) + bytes(plain == CHAR)


def _elements(reading: Reading, metadata: Metadata, plain: int, count: int) -> bytes:
    """Write the elements of a value as a plain type; not more than a number of them, but for 0."""
    native, value = reading.native, reading.value
    if isinstance(value, bytes):
        value = value[:count] if count else value
        if plain == CHAR:
            return value
        numbers = struct.unpack(f"{len(value)}b", value)
        if plain == STRING:
            return b"".join(_string(str(number)) for number in numbers)
        return struct.pack(f">{len(value)}{_CODES[plain]}", *(_number_as(plain, number) for number in numbers))
    if plain == STRING:
        return _string(_as_text(reading, metadata))
    if isinstance(value, str):
        return struct.pack(">" + _CODES[plain], _parsed_as(plain, value))
    if native != plain:
        value = _number_as(plain, value)
    return struct.pack(">" + _CODES[plain], value)


def _string(text: str) -> bytes:
    return text.encode("latin-1", "replace")[: STRING_SIZE - 1].ljust(STRING_SIZE, b"\0")


def _as_text(reading: Reading, metadata: Metadata) -> str:
    value = reading.value
    if isinstance(value, bytes):
        return str(struct.unpack("b", value[:1])[0]) if value else ""
    if reading.native == ENUM:
        return metadata.states[int(value)] if 0 <= int(value) < len(metadata.states) else "Illegal Value"
    return _decimal(value, metadata.precision) if isinstance(value, float) else str(value)


def _decimal(value: float, precision: int) -> str:
    """Write a number with its precision, as ``cvtDoubleToString`` of EPICS base does."""
    if math.isnan(value) or precision > 8 or abs(value) > 1e7:
        if precision > 8 or abs(value) > 1e16:
            precision = min(precision, 17)
            return f"{value:{precision + 7}.{precision}e}"
        return f"{value:.{min(precision, 3)}f}"
    return f"{value:.{precision}f}"


def _number_as(plain: int, value: float) -> float | int:
    """Convert a number as C does on x86-64."""
    if plain == DOUBLE:
        return float(value)
    if plain == FLOAT:
        return _single(float(value))
    if isinstance(value, float):
        whole = int(value) if math.isfinite(value) and -(2**31) - 1 < value < 2**31 else -(2**31)
    else:
        whole = value
    if plain == LONG:
        return whole
    bits = 8 if plain == CHAR else 16
    whole &= (1 << bits) - 1
    return whole if plain == ENUM or whole < 1 << (bits - 1) else whole - (1 << bits)


def _single(value: float) -> float:
    """Limit a double to the range of a float, as ``epicsConvertDoubleToFloat`` does."""
    if value == 0.0 or not math.isfinite(value):
        return value
    return math.copysign(min(max(abs(value), _FLOAT_MIN), _FLOAT_MAX), value)


def _parsed_as(plain: int, text: str) -> float | int:
    """Read the number at the beginning of a text, as EPICS base does; an empty text is 0."""
    if plain == ENUM:
        raise GetFailedError(f"{text!a} is not the index of a state")
    if not text:
        return 0
    if plain in (FLOAT, DOUBLE):
        match = _HEX.match(text)
        if match:
            return _number_as(plain, float(int(match[0], 16)))
        match = _REAL.match(text)
        if match:
            return _number_as(plain, float(match[1]))
    else:
        match = _WHOLE.match(text)
        if match:
            number = int(match[1] + match[2], 0 if match[2][:2].lower() == "0x" else 10)
            low, high = _RANGES[plain]
            if low <= number <= high:
                return number
    raise GetFailedError(f"{text!a} is not a number")
