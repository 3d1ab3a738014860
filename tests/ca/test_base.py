"""What clients get is what EPICS base's own server sends: every type, every command, on records of the same kind."""

import struct

import pytest

from base_ioc import SoftIoc
from live import free_ports
from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.server import Context, dbr
from ponikeeper.errors import RefusedError
from ponikeeper.protocol.pvs import PV, Kind
from raw import Raw, message, subscription
from served import Served

PVS = (
    PV("Number", Kind.DOUBLE, "distance", "m", 6, limits=(0.0, 10.0), writable=True),
    PV("Whole", Kind.LONG, "", "px", writable=True),
    PV("State", Kind.ENUM, "", states=("Idle", "Do"), writable=True),
    PV("Word", Kind.STRING, "", writable=True),
    PV("Digits", Kind.STRING, "", writable=True),
    PV("Text", Kind.TEXT, "", writable=True),
)
VALUES = {"Number": 0.25, "Whole": 7, "State": "Do", "Word": "near", "Digits": "7.5", "Text": "hello"}
NAMES = tuple(VALUES)
TYPES = (*range(35), 37, 38)
PREFIX = "BASE:"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """EPICS base's own server."""
    (port,) = free_ports(1)
    with SoftIoc(PREFIX, port, tmp_path_factory.mktemp("softioc")) as ioc:
        with Raw(port) as raw:
            raw.send(message(19, b"hello", 4, 5, raw.channel(f"{PREFIX}Text"), 1))
            assert raw.receive(19).parameter1 == 1
        yield ioc


class Ours(Served):
    """Our server with the same records."""

    def __init__(self):
        super().__init__()
        self.channels = {pv.suffix: make_channel(pv, self._handle(pv.suffix)) for pv in PVS}

    def make_context(self):
        return Context({f"{PREFIX}{name}": channel for name, channel in self.channels.items()})

    def _handle(self, name):
        async def handle(value, _):
            if isinstance(value, Exception):
                raise RefusedError(str(value))
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            self.channels[name].post(text, 1.0)

        return handle


@pytest.fixture(scope="module")
def ours():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPICS_CA_SERVER_PORT", str(free_ports(1)[0]))
        patch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1")
        patch.setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO")
        with Ours() as served:
            for name, value in VALUES.items():
                served.show(served.channels[name], value)
            yield served


def meaning(data_type, count, payload):
    """Blank what has no meaning in a payload: padding, what follows the end of a string, and the time.

    EPICS base sends there what its buffer had before.
    """
    data = bytearray(payload)
    size, item = dbr.metadata_size(data_type), dbr.item_size(data_type)
    if data_type >= dbr.STSACK_STRING:
        count = min(count, 1)  # what follows has no meaning
    data[size + count * item :] = b""
    group, plain = divmod(data_type, 7)
    if data_type < 35:
        if group == 2 or group == 1:
            data[4:size] = bytes(size - 4)
        elif group > 2 and plain in (dbr.FLOAT, dbr.DOUBLE):
            data[6:8] = bytes(2)
        elif group > 2 and plain == dbr.CHAR:
            data[size - 1] = 0
    if item == dbr.STRING_SIZE:
        for begin in range(size, len(data), item):
            text = bytes(data[begin : begin + item]).partition(b"\0")[0]
            data[begin : begin + item] = text.ljust(item, b"\0")
    return bytes(data)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("name", NAMES)
def test_gets_and_updates_of_every_type_are_those_of_epics_base(base, ours, name, count):
    different = []
    with Raw(base.port) as theirs, Raw(ours.port) as mine:
        at_base, here = theirs.channel(PREFIX + name), mine.channel(PREFIX + name)
        for data_type in TYPES:
            if data_type == dbr.CLASS_NAME and count == 0:
                continue  # EPICS base sends as many names as the record has elements
            for raw, sid in ((theirs, at_base), (mine, here)):
                raw.send(message(15, b"", data_type, count, sid, 1), subscription(sid, data_type, data_type, count))
            for command in (15, 1):
                expected, found = theirs.receive(command), mine.receive(command)
                values = [
                    (*one[:4], meaning(data_type, one.count, one.payload)) if one.parameter1 == 1 else one[:4]
                    for one in (expected, found)
                ]
                if values[0] != values[1]:
                    different.append((data_type, command, *values))
    assert different == []


CREATED = [
    "", ".VAL", ".", ".DESC", ".EGU", ".NAME", ".RTYP", ".SEVR", ".STAT", ".SCAN", ".NOPE", ".val",
    ".DESC$", ".NAME$", ".EGU$", ".RTYP$", ".ASG$", ".ZRST$", ".SEVR$", ".[0:3]", ".[2]",
    ".[-3:-1]", ".[3:1]", ".[0:0:5]", '.{"arr":{"s":1,"e":3}}', '.{"dbnd":{"abs":1}}', '.{"dec":{"n":2}}', '.{"ts":{}}',
    '.{"nope":1}', ".{", "[0:3]", '.{"sync":{"m":"while","s":"red"}}', '.{"arr":{"i":0}}', ".$", ".VAL$",
]  # fmt: skip
MORE_HERE = {
    "Text.$",
    "Text.VAL$",  # an array of characters is itself a long string
    "State.EGU",
    "Word.EGU",
    *(f"{name}.EGU$" for name in ("State", "Word", "Digits")),
    "Digits.EGU",  # empty, for clients that ask every PV for its unit
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("modifier", CREATED)
def test_channels_are_created_and_refused_as_by_epics_base(base, ours, name, modifier):
    with Raw(base.port) as theirs, Raw(ours.port) as mine:
        found = []
        for raw in (theirs, mine):
            raw.send(message(18, f"{PREFIX}{name}{modifier}".encode() + b"\0", p1=1, p2=13))
            answer = raw.receive(18, 26)
            found.append(answer[:3] if answer.command == 18 else None)
    if name + modifier in MORE_HERE:
        assert found[0] is None
        assert found[1] is not None
    else:
        assert found[1] == found[0]


PUTS = [
    (6, struct.pack(">d", 0.5)), (5, struct.pack(">i", 1)), (3, struct.pack(">H", 1)), (1, struct.pack(">h", 1)),
    (2, struct.pack(">f", 0.5)), (4, b"1\0"), (0, b"0.75\0"), (0, b"xx\0"), (0, b"Do\0"), (0, b"Nope\0"), (0, b"1\0"),
    (20, bytes(24)), (34, bytes(88)), (35, bytes(2)),
]  # fmt: skip


NORMAL, PUTFAIL = 1, 160
DIFFERENT = {
    **{(name, 35, bytes(2)): PUTFAIL for name in NAMES},  # no client acknowledges the alarm for all
    ("State", 4, b"1\0"): PUTFAIL,  # 49 is no state
    ("State", 0, b"0.75\0"): PUTFAIL,
    ("Whole", 0, b"0.75\0"): PUTFAIL,  # a value is never rounded
    **{("Text", data_type, payload): PUTFAIL for data_type, payload in PUTS if data_type in (1, 2, 3, 5, 6)},
    **{("Text", 0, payload): NORMAL for data_type, payload in PUTS if data_type == 0},  # a string is a text
}
"""Outcomes that differ from those of EPICS base, on purpose."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("data_type", "payload"), PUTS)
def test_puts_end_as_at_epics_base(base, ours, name, data_type, payload):
    outcomes = []
    with Raw(base.port) as theirs, Raw(ours.port) as mine:
        for raw in (theirs, mine):
            sid = raw.channel(PREFIX + name)
            raw.send(message(19, payload, data_type, 1, sid, 1))
            answer = raw.receive(19, 11)
            # a refusal has a text here, so it is the report of an error; libca gives both to the callback of the put
            outcomes.append(answer.parameter1 if answer.command == 19 else answer.parameter2)
            default = {"Number": 6, "Whole": 5, "State": 3, "Text": 4}.get(name, 0)
            value = VALUES[name] if name != "State" else 1
            code = {6: ">d", 5: ">i", 3: ">H"}.get(default)
            back = struct.pack(code, value) if code else str(value).encode() + bytes(1)
            size = len(back) if default == 4 else 1
            raw.send(message(19, back, default, size - 1 if default == 4 else size, sid, 2))
            raw.receive(19, 11)
    assert outcomes[1] == DIFFERENT.get((name, data_type, payload), outcomes[0])


@pytest.mark.parametrize(
    "request_bytes",
    [
        message(23, b"", 1, 2, 3, 4),
        message(10, b"", 6, 1, 4, 3),
        message(6, f"{PREFIX}Number\0".encode(), 5, 13, 77, 77),
        message(6, b"NOWHERE\0", 10, 13, 77, 77),
        message(15, b"", 6, 1, 999, 3),
        message(12, b"", 0, 0, 99, 9),
        message(2, b"", 6, 1, 99, 9),
        message(99),
    ],
)
def test_other_commands_are_answered_as_by_epics_base(base, ours, request_bytes):
    answers = []
    for port in (base.port, ours.port):
        with Raw(port) as raw:
            raw.receive(0)
            raw.send(request_bytes)
            answer = raw.receive()
            fields = list(answer[:5])
            if answer.command == 6:
                assert fields[1] == port
                fields[1] = None
            answers.append((fields, answer.payload[:16]))
            if answer.command == 11:
                with pytest.raises(ConnectionError):
                    raw.receive()
    assert answers[1] == answers[0]
