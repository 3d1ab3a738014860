"""The header: what is active on one detector, short enough for one attribute of an areaDetector frame. Pure.

It is one line of ASCII, its fields separated by blanks::

    PK1 revision uid12 serial status values detector detector_config checksum

========================  ============================================================================================
field                     content
========================  ============================================================================================
``PK1``                   name and version of the format
``revision``              number of the active revision; 0 where there is none
``uid12``                 the first 12 letters and digits of its uid
``serial``                number of the activation
``status``                name of the status
``values``                base64 of the numbers of the geometry, in the order of `PARAMETERS`, little-endian doubles
``detector``              pyFAI's name of the detector; it may contain blanks
``detector_config``       JSON without blanks; a longer one as base64 of its SHA-256
``checksum``              CRC-32 of everything before the blank, 8 hexadecimal digits
========================  ============================================================================================

Where nothing is active, the fields that have no content are ``-``. The checksum shows that a header was cut or changed.
"""

import base64
import binascii
import hashlib
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from ponikeeper.errors import GeometryError, MessageError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS, REQUIRED
from ponikeeper.protocol.snapshot import Snapshot
from ponikeeper.text import strictjson

LENGTH = 256
"""Number of elements of the PV, with the NUL at the end: areaDetector cuts longer texts."""

VERSION = "PK1"

_NONE = "-"
_UID_LENGTH = 12
_CHECKSUM = re.compile(r"[0-9a-f]{8}")
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
_REQUIRED_NUMBERS = [name for name in PARAMETERS if name in REQUIRED]


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Parameters
    ----------
    revision, serial
        Numbers of the active revision and of its activation; 0 where there is none.
    uid
        The start of the revision's uid, as `short_uid` returns it; empty where there is none.
    status
        Name of the status.
    numbers
        The numbers of the geometry by name, in m and rad; None where there is none.
    detector
        pyFAI's name of the detector.
    detector_config
        Further settings of the detector; None where the header only has their hash.
    config_hash
        What `config_hash` returns for `detector_config`.
    """

    revision: int
    uid: str
    serial: int
    status: str
    numbers: Mapping[str, float] | None = None
    detector: str = ""
    detector_config: Mapping[str, object] | None = field(default=None, hash=False)
    config_hash: str = ""

    def geometry(self, detector_config: Mapping[str, object] | None = None) -> Geometry | None:
        """Return the geometry.

        Parameters
        ----------
        detector_config
            From the history, where the header only has the hash of it.

        Returns
        -------
        Geometry or None
            None where nothing was active.

        Raises
        ------
        GeometryError
            The configuration is needed, or is another one; or the values are not a geometry.
        """
        if self.numbers is None:
            return None
        config = self.detector_config
        if config is None:
            if detector_config is None:
                raise GeometryError(
                    f"the detector_config of revision {self.revision} is too long for the header, which has its hash: "
                    "it is in the history"
                )
            if config_hash(detector_config) != self.config_hash:
                raise GeometryError(f"this is not the detector_config of revision {self.revision}: its hash differs")
            config = detector_config
        return Geometry.parse({**self.numbers, "detector": self.detector, "detector_config": config})


def short_uid(uid: str) -> str:
    """Return the start of a revision's uid as a header has it: its first 12 ASCII letters and digits."""
    return "".join(character for character in uid if character.isascii() and character.isalnum())[:_UID_LENGTH]


def config_hash(config: Mapping[str, object]) -> str:
    """Return the hash of a detector configuration as a header has it.

    Parameters
    ----------
    config
        JSON values.

    Returns
    -------
    str
        SHA-256 of its canonical JSON, as URL-safe base64 without padding.
    """
    digest = hashlib.sha256(strictjson.canonical(strictjson.plain(config)).encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def write_header(snapshot: Snapshot) -> str:
    """Format the header of what is active.

    Parameters
    ----------
    snapshot
        The text is made of the same object as ``Snapshot_RBV``, so that the two agree.

    Returns
    -------
    str
        ASCII, shorter than `LENGTH`.
    """
    geometry = snapshot.geometry
    if geometry is None or snapshot.uid is None:
        return _with_checksum([str(snapshot.revision), _NONE, str(snapshot.serial), snapshot.status, *[_NONE] * 3])
    values = struct.pack(f"<{len(PARAMETERS)}d", *(getattr(geometry, name) for name in PARAMETERS))
    fields = [
        str(snapshot.revision),
        short_uid(snapshot.uid) or _NONE,
        str(snapshot.serial),
        snapshot.status,
        base64.b64encode(values).decode("ascii"),
        geometry.detector,
    ]
    # blanks separate the fields: in JSON they occur only within a text
    config = strictjson.canonical(strictjson.plain(geometry.detector_config)).replace(" ", "\\u0020")
    text = _with_checksum([*fields, config])
    return text if len(text) < LENGTH else _with_checksum([*fields, config_hash(geometry.detector_config)])


def parse_header(text: str) -> Header:
    """Parse a header.

    Parameters
    ----------
    text
        The text of ``Header_RBV``, or of an attribute in a file, without the NUL.

    Returns
    -------
    Header
        What it says.

    Raises
    ------
    MessageError
        It is no header of this version, it was cut, or it was changed.
    """
    text = text.partition("\0")[0]
    version, _, _ = text.partition(" ")
    if version != VERSION:
        raise MessageError(_of_other_version(version))
    body, _, checksum = text.rpartition(" ")
    if not text.isascii() or not _CHECKSUM.fullmatch(checksum) or checksum != _checksum(body):
        raise MessageError(
            f"the header of {len(text)} characters was cut or changed: it does not end with its checksum"
        )
    try:
        return _parse_fields(body)
    except (ValueError, binascii.Error) as error:  # written by a program that is not ponikeeper
        raise MessageError(f"this is not a header of version {VERSION}: {error}") from None


def _of_other_version(version: str) -> str:
    if re.fullmatch(r"PK[0-9]+", version):
        return f"the header has version {version}, which a newer ponikeeper wrote: expected {VERSION}"
    return f"this is not a header: expected {VERSION} at the start" if version else "the header is empty"


def _parse_fields(body: str) -> Header:
    parts = body.split(" ", 6)
    if len(parts) != 7:
        raise ValueError(f"it has {len(parts)} fields")
    _, revision, uid, serial, status, values, rest = parts
    detector, separator, config = rest.rpartition(" ")
    if not separator:
        raise ValueError("the detector or its configuration is missing")
    head = Header(int(revision), "" if uid == _NONE else uid, int(serial), status)
    if values == _NONE:
        return head
    parsed = None if _DIGEST.fullmatch(config) else strictjson.loads(config)
    if parsed is not None and not isinstance(parsed, dict):
        raise ValueError(f"the detector_config {config} is not a JSON object")
    known = cast("dict[str, object] | None", parsed)
    return Header(
        head.revision, head.uid, head.serial, status, _numbers(values), detector, known,
        config if known is None else config_hash(known),
    )  # fmt: skip


def _numbers(values: str) -> dict[str, float]:
    """Return the numbers by name; a parameter that the writer did not know has its default."""
    data = base64.b64decode(values, validate=True)
    count, rest = divmod(len(data), 8)
    if rest or not len(_REQUIRED_NUMBERS) <= count <= len(PARAMETERS):
        raise ValueError(f"{len(data)} bytes are not the {len(PARAMETERS)} numbers of a geometry")
    return dict(zip(PARAMETERS, struct.unpack(f"<{count}d", data), strict=False))


def _with_checksum(fields: list[str]) -> str:
    body = " ".join([VERSION, *fields])
    return f"{body} {_checksum(body)}"


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode('ascii')):08x}"
