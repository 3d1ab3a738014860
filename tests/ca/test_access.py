"""Access rules on a live IOC: every command of every client is checked, and clients receive their access rights."""

import signal
import struct
import subprocess
import sys
from contextlib import ExitStack

import aioca
import caproto as ca
import pytest
from caproto import AccessRights, AlarmSeverity, ChannelType
from epicscorelibs.ca.cadef import CAException

import speak
from live import wait_for
from ponikeeper.ca.server.messages import ERROR, NOWTACCESS, WRITE_NOTIFY
from ponikeeper.ca.server.messages import WRITE as WRITE_COMMAND
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS
from raw import Raw, message
from refusing import forged
from speak import Wire, commit_text, counters, get

READ = AccessRights.READ
WRITE = AccessRights.READ | AccessRights.WRITE
HUTCH, OFFICE = "127.0.0.2", "127.0.0.1"

TYPES = [kind for kind in ChannelType if kind not in (ChannelType.STSACK_STRING, ChannelType.CLASS_NAME)]


@pytest.fixture(scope="module")
def guarded(make_ioc_for_module):
    """An IOC on which only alice may write, and only from the hutch."""
    ioc = make_ioc_for_module(access=f'write = ["{HUTCH}/32"]\nusers = ["alice"]').start()
    with Wire(ioc.port, user="alice", source=HUTCH) as wire:
        answer = wire.put(wire.channel(f"{ioc.prefix}Request"), commit_text("begin").encode(), ChannelType.CHAR)
        assert isinstance(answer, ca.WriteNotifyResponse)
    return ioc


def own(ioc, suffix):
    return f"{ioc.name}{{IOC}}{suffix}"


def state(pv):
    """Read the state of an enum, and its severity."""
    (found,) = speak.read([pv], datatype=aioca.DBR_STRING)
    return str(found), int(found.severity)


def denied(ioc):
    return get(own(ioc, "Denied_RBV"))


def read(wire, channel):
    """Read a text."""
    wire.send(channel.read())
    return bytes(bytearray(int(byte) & 0xFF for byte in wire.receive(ca.ReadNotifyResponse).data))


def is_denied(answer):
    return isinstance(answer, ca.ErrorResponse) and answer.status == ca.CAStatus.ECA_NOWTACCESS.value


def sample(data_type):
    """Return a value of a type, which most PVs convert to 1."""
    return [b"1"] if data_type.name.endswith("STRING") else [1]


STRANGERS = [("eve", HUTCH), ("alice", OFFICE), ("eve", OFFICE), (" ", HUTCH), ("Alice", HUTCH)]


def intrude(ioc, user, source, fields, types):
    """Put every type to every field as a user; return the puts that the rules deny, and those that were not refused.

    A readback and most fields are read-only for every client: that is no denied access.
    """
    pvs = [(ioc.prefix + pv.suffix, pv.writable) for pv in DETECTOR_PVS if not pv.query_only]
    pvs += [(own(ioc, pv.suffix), pv.writable) for pv in IOC_PVS]
    passed, count = [], 0
    with Wire(ioc.port, user=user, host="hutch", source=source) as wire:
        for name, field, writable in [(name, field, writable) for name, writable in pvs for field in fields]:
            channel = wire.channel(name + field)
            assert wire.rights[channel.cid] == READ, name + field
            for data_type in types:
                answer = wire.put(channel, sample(data_type), data_type, metadata=forged(data_type))
                count += writable and field in ("", ".VAL")
                if not is_denied(answer):
                    passed.append((name + field, data_type.name, answer))
    return count, passed


def check_stranger(ioc, user, source, fields, types):
    before = get(f"{ioc.prefix}Snapshot_RBV"), counters(ioc.prefix)
    denied_before = denied(ioc)
    count, passed = intrude(ioc, user, source, fields, types)
    print(f"{count} puts of {user!r} at {source} to writable PVs: {len(passed)} of all passed")
    assert passed == []
    assert (get(f"{ioc.prefix}Snapshot_RBV"), counters(ioc.prefix)) == before
    wait_for(lambda: denied(ioc) == denied_before + count)


@pytest.mark.parametrize(("user", "source"), STRANGERS)
def test_stranger_changes_nothing_by_any_pv(guarded, user, source):
    check_stranger(guarded, user, source, ("",), (ChannelType.DOUBLE, ChannelType.STRING, ChannelType.CHAR))


def test_stranger_changes_nothing_by_any_field_and_type(guarded):
    check_stranger(guarded, "eve", HUTCH, ("", ".VAL", ".DESC"), TYPES[::5])


@pytest.mark.campaign
@pytest.mark.parametrize(("user", "source"), STRANGERS)
def test_stranger_changes_nothing_by_any_pv_field_and_type(guarded, user, source):
    check_stranger(guarded, user, source, ("", ".VAL", ".DESC", ".EGU", ".RTYP"), TYPES)


def test_client_that_may_write_may_write_writable_pvs_only(guarded):
    with Wire(guarded.port, user="alice", source=HUTCH) as wire:
        for pv in DETECTOR_PVS:
            channel = wire.channel(guarded.prefix + pv.suffix)
            assert wire.rights[channel.cid] == (WRITE if pv.writable else READ), pv.suffix
            answer = wire.put(
                channel,
                sample(ChannelType.TIME_DOUBLE),
                ChannelType.TIME_DOUBLE,
                metadata=forged(ChannelType.TIME_DOUBLE),
            )
            assert is_denied(answer) == (not pv.writable), pv.suffix
        answer = wire.put(wire.channel(f"{guarded.prefix}Dist"), [0.31], ChannelType.DOUBLE)
    assert isinstance(answer, ca.WriteNotifyResponse)
    assert get(f"{guarded.prefix}Dist_RBV") == 0.31


READ_ONLY = [
    ("Dist_RBV", "{name} is a readback and cannot be put: put {prefix}Dist instead"),
    ("Dist_RBV.VAL", "{prefix}Dist_RBV is a readback and cannot be put: put {prefix}Dist instead"),
    ("WavelengthA_RBV", "{name} is a readback and cannot be put: put {prefix}Wavelength instead"),
    ("Revision_RBV", "{name} is a readback and cannot be put: put {prefix}Activate instead"),
    ("Status_RBV", "{name} is a readback and cannot be put: no PV sets it directly"),
    ("Dist.DESC", "{name} is a field of a record and cannot be put: no field of this IOC can"),
]


@pytest.mark.parametrize("command", [WRITE_COMMAND, WRITE_NOTIFY], ids=["caput", "caput -c"])
@pytest.mark.parametrize(("suffix", "reason"), READ_ONLY, ids=[suffix for suffix, _ in READ_ONLY])
def test_put_of_a_client_that_ignores_its_rights_to_a_readback_says_what_to_put(guarded, suffix, reason, command):
    before, name = denied(guarded), guarded.prefix + suffix
    with Raw(guarded.port) as raw:
        raw.send(message(command, struct.pack(">d", 0.3), int(ChannelType.DOUBLE), 1, raw.channel(name), 1))
        answer = raw.receive(ERROR, WRITE_NOTIFY)
        assert (answer.command, answer.parameter2) == (ERROR, NOWTACCESS)
        text = answer.payload[16:].rstrip(b"\0").decode()
        assert text == reason.format(name=name, prefix=guarded.prefix)
        raw.send(message(command, struct.pack(">d", 0.3), 6, 1, raw.channel(f"{guarded.prefix}Dist"), 2))
        assert b"the access rules forbid it" in raw.receive(ERROR, WRITE_NOTIFY).payload
    wait_for(lambda: denied(guarded) == before + 1)


def test_client_that_may_read_may_read_the_history(guarded):
    with Wire(guarded.port, user="eve", source=OFFICE) as wire:
        channel = wire.channel(f"{guarded.prefix}History:Read")
        assert wire.rights[channel.cid] == WRITE
        assert isinstance(wire.put(channel, [b"revision 1"], ChannelType.STRING), ca.WriteNotifyResponse)


def test_put_without_completion_is_denied_too(guarded):
    before = get(f"{guarded.prefix}Snapshot_RBV"), denied(guarded)
    with Wire(guarded.port, user="eve", source=HUTCH) as wire:
        wire.send(wire.channel(f"{guarded.prefix}Dist").write([0.4], data_type=ChannelType.DOUBLE))
        assert is_denied(wire.receive(ca.ErrorResponse))
    wait_for(lambda: denied(guarded) == before[1] + 1)
    assert get(f"{guarded.prefix}Snapshot_RBV") == before[0]


def test_put_is_checked_by_the_name_that_the_client_had_when_it_arrived(guarded):
    """Names are claims, but a put of eve must not be logged or checked as one of alice, and vice versa."""
    with Wire(guarded.port, user="eve", source=HUTCH) as wire:
        channel = wire.channel(f"{guarded.prefix}Dist")
        wire.send(channel.write([0.4], data_type=ChannelType.DOUBLE, notify=True), ca.ClientNameRequest("alice"))
        assert is_denied(wire.receive((ca.ErrorResponse, ca.WriteNotifyResponse)))
        assert isinstance(wire.put(channel, [0.32], ChannelType.DOUBLE), ca.WriteNotifyResponse)
        assert wire.rights[channel.cid] == WRITE


def test_client_of_libca_knows_that_it_may_not_write(guarded):
    with pytest.raises(CAException, match="Write access denied"):
        speak.put(f"{guarded.prefix}Dist", 0.4)
    assert not speak.run(aioca.cainfo(f"{guarded.prefix}Dist")).write


@pytest.fixture
def ioc(make_ioc):
    return make_ioc(access='users = ["alice"]').start()


def renew(ioc, rules):
    """Change the rules and make the IOC read them."""
    ioc.give_access(rules)
    ioc.signal(signal.SIGHUP)


def test_rules_are_reloaded_and_clients_receive_their_new_rights(ioc):
    with ExitStack() as stack:
        alice, bob = (stack.enter_context(Wire(ioc.port, user=user)) for user in ("alice", "bob"))
        channels = {wire: wire.channel(f"{ioc.prefix}Follow") for wire in (alice, bob)}
        assert [wire.rights[channel.cid] for wire, channel in channels.items()] == [WRITE, READ]
        renew(ioc, 'users = ["bob"]')
        for wire, rights in ((alice, READ), (bob, WRITE)):
            assert wire.receive(ca.AccessRightsResponse).access_rights == rights
        assert is_denied(alice.put(channels[alice], [0], ChannelType.ENUM))
        assert isinstance(bob.put(channels[bob], [0], ChannelType.ENUM), ca.WriteNotifyResponse)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ('write = ["10.28.0.0/33"]', '"10.28.0.0/33"'),
        ('file = "none.acf"', "No such file"),
        ('file = "broken.acf"', "broken.acf: line 2"),
        ('file = "sound.acf"\nasg = "OTHER"', "has no such ASG, only"),
        ("", "the table [access] is missing now: expected rules"),
    ],
)
def test_invalid_rules_are_an_alarm_and_the_active_rules_stay(ioc, rules, says):
    (ioc.folder / "broken.acf").write_text("UAG(a) {b}\nASG(DEFAULT) {RULE(1 READ)}")
    (ioc.folder / "sound.acf").write_text("ASG(DEFAULT) {RULE(1, WRITE)}")
    renew(ioc, rules)
    wait_for(lambda: state(own(ioc, "Access:Status_RBV")) == ("FAILED", AlarmSeverity.MAJOR_ALARM))
    message = get(own(ioc, "Access:Message_RBV"))
    assert says in message
    assert message.startswith("the previous rules stay active")
    with Wire(ioc.port, user="bob") as wire:
        assert is_denied(wire.put(wire.channel(f"{ioc.prefix}Follow"), [0], ChannelType.ENUM))
    renew(ioc, 'file = "sound.acf"')
    wait_for(lambda: state(own(ioc, "Access:Status_RBV")) == ("OK", AlarmSeverity.NO_ALARM))
    with Wire(ioc.port, user="bob") as wire:
        answer = wire.put(wire.channel(f"{ioc.prefix}Follow"), [0], ChannelType.ENUM)
    assert isinstance(answer, ca.WriteNotifyResponse)


def test_client_without_the_right_to_read_reads_nothing_until_the_rules_allow_it(ioc):
    (ioc.folder / "rules.acf").write_text(f"HAG(hutch) {{{HUTCH}}} ASG(DEFAULT) {{RULE(1, WRITE) {{HAG(hutch)}}}}")
    renew(ioc, 'file = "rules.acf"')
    with Wire(ioc.port, source=HUTCH) as wire:
        name = wire.channel(own(ioc, "Access:Message_RBV"))
        wait_for(lambda: b"rules.acf" in read(wire, name))
    with Wire(ioc.port, source=OFFICE) as wire:
        channel = wire.channel(f"{ioc.prefix}Snapshot_RBV")
        assert wire.rights[channel.cid] == AccessRights.NO_ACCESS
        for command, answer in ((channel.read(), ca.ReadNotifyResponse), (channel.subscribe(), ca.EventAddResponse)):
            wire.send(command)
            refusal = wire.receive(answer)
            assert refusal.status == ca.CAStatus.ECA_NORDACCESS.value
            assert not bytes(refusal.buffers[1]).strip(b"\0")
        (ioc.folder / "rules.acf").write_text("ASG(DEFAULT) {RULE(1, READ)}")
        ioc.signal(signal.SIGHUP)
        assert wire.receive(ca.AccessRightsResponse).access_rights == AccessRights.READ
        assert b'"status": "UNSET"' in bytes(wire.receive(ca.EventAddResponse).buffers[1])
    wait_for(lambda: state(f"{ioc.prefix}Status_RBV")[0] == "UNSET")


def test_subscription_without_the_right_to_read_says_so_once(ioc):
    with Wire(ioc.port) as wire:
        channel = wire.channel(f"{ioc.prefix}Snapshot_RBV")
        wire.send(channel.subscribe())
        assert wire.receive(ca.EventAddResponse)
        (ioc.folder / "rules.acf").write_text("ASG(DEFAULT)")
        renew(ioc, 'file = "rules.acf"')
        assert wire.receive(ca.AccessRightsResponse).access_rights == AccessRights.NO_ACCESS
        last = wire.receive(ca.EventAddResponse)
        assert last.status == ca.CAStatus.ECA_NORDACCESS.value
        assert not bytes(last.buffers[1]).strip(b"\0")


def test_ioc_with_invalid_rules_does_not_start(make_ioc):
    ioc = make_ioc(access='file = "rules.acf"')
    (ioc.folder / "rules.acf").write_text('ASG(DEFAULT) {\n INPA("some:pv")\n}')
    done = subprocess.run(ioc.command(), env=ioc.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert 'rules.acf: line 2: "INPA"' in done.stderr


def test_command_line_reports_that_the_rules_forbid_it(guarded):
    command = [sys.executable, "-m", "ponikeeper", "activate", guarded.prefix, "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"{guarded.prefix}Request may not be written from here: the IOC's access rules forbid"
    )


def test_check_prints_the_rules_that_are_used(guarded):
    command = [sys.executable, "-m", "ponikeeper", "check", str(guarded.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert f"access rules of {guarded.config}" in done.stdout


def test_other_changes_of_the_file_are_named_and_count_after_a_restart(ioc):
    rules = ioc.config.read_text()
    ioc.config.write_text(rules.replace(f'prefix = "{ioc.prefix}"', f'prefix = "{ioc.prefix}"\ntitle = "one"'))
    ioc.signal(signal.SIGHUP)
    expected = f"count after a restart: detector {ioc.prefix}: title"
    wait_for(lambda: expected in speak.get(own(ioc, "Access:Message_RBV")))
    assert expected in ioc.stderr.read_text()
    assert speak.get(own(ioc, "Access:Status_RBV")) == 0
