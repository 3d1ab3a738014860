"""A client gets as many elements as it requests, as from EPICS base."""

import caproto as ca
import pytest
from caproto import ChannelType

from base_ioc import SoftIoc
from live import free_ports
from speak import Wire, commit_text, put

COUNTS = 1, 3, 5, 8, 200, 16000, 20000
NUMBER = "DEFAULT", "Dist_RBV"
TEXT = "TEXT", "Comment_RBV"
KINDS = {
    NUMBER: ("DOUBLE", "TIME_DOUBLE", "CTRL_DOUBLE", "STS_LONG", "INT", "FLOAT", "STRING", "TIME_STRING", "GR_CHAR"),
    TEXT: ("CHAR", "TIME_CHAR", "GR_CHAR", "CTRL_CHAR"),
}
PAIRS = [(names, ChannelType[kind]) for names, kinds in KINDS.items() for kind in kinds]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    (port,) = free_ports(1)
    with SoftIoc("SOFT:", port, tmp_path_factory.mktemp("softioc")) as ioc:
        yield ioc


def answers(port, name, kind, count):
    """Return for a get and for a subscription: the number of elements in the header, their size, their bytes."""
    with Wire(port) as wire:
        channel = wire.channel(name)
        for command, answer in (
            (channel.read(data_type=kind, data_count=count), ca.ReadNotifyResponse),
            (channel.subscribe(data_type=kind, data_count=count), ca.EventAddResponse),
        ):
            wire.send(command)
            message = wire.receive(answer)
            yield message.header.data_count, message.payload_size, bytes(message.buffers[1])


@pytest.mark.parametrize("count", COUNTS)
def test_element_count_is_that_of_epics_base(base, ioc_of, prefix, count):
    assert put(f"{prefix}Request", commit_text(provenance={"comment": "hello"})) is None
    for (theirs, ours), kind in PAIRS:
        at_base = list(answers(base.port, base.name + theirs, kind, count))
        here = list(answers(ioc_of(prefix).port, prefix + ours, kind, count))
        assert [sizes for *sizes, _ in here] == [sizes for *sizes, _ in at_base], (ours, kind)
        for (_, _, value), (there, _, whole) in zip(
            here, answers(ioc_of(prefix).port, prefix + ours, kind, 0), strict=True
        ):
            if count >= there:
                assert value.rstrip(b"\0") == whole.rstrip(b"\0"), (ours, kind)
            else:
                assert whole.startswith(value.rstrip(b"\0")), (ours, kind)


def test_all_elements_without_a_count(ioc_of, prefix):
    assert put(f"{prefix}Request", commit_text(provenance={"comment": "hello"})) is None
    for count, _, value in answers(ioc_of(prefix).port, f"{prefix}Comment_RBV", ChannelType.TIME_CHAR, 0):
        assert (count, value.rstrip(b"\0")) == (5, b"hello")


def test_acknowledgement_has_one_element_for_any_count(ioc_of, prefix):
    for _, size, _ in answers(ioc_of(prefix).port, f"{prefix}Dist_RBV", ChannelType.STSACK_STRING, 1):
        assert size == 48


def test_count_beyond_the_limit_is_refused(ioc_of, prefix):
    with Wire(ioc_of(prefix).port) as wire:
        channel = wire.channel(f"{prefix}Dist_RBV")
        for command in (channel.read(data_count=0xFFFFFFFF), channel.subscribe(data_count=131_073)):
            wire.send(command)
            answer = wire.receive((ca.ErrorResponse, ca.ReadNotifyResponse, ca.EventAddResponse))
            assert answer.status == ca.CAStatus.ECA_TOLARGE.value
            assert b"request 0, which means all" in answer.error_message
        wire.send(channel.read(data_count=131_072))
        assert wire.receive(ca.ReadNotifyResponse).header.data_count == 131_072
