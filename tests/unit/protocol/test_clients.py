"""The clients of an IOC as a text that fits its PV."""

import pytest

from ponikeeper.errors import MessageError
from ponikeeper.protocol.clients import ClientInfo, clients_text, parse_clients
from ponikeeper.protocol.json_text import MAX_BYTES

ALICE = ClientInfo("alice", "ws1", "10.0.0.1", 40001, 3, 2)
BOB = ClientInfo("b\u00f6b", "ws2", "10.0.0.2", 40002, 120, 118)


def test_clients_are_read_as_they_were_written_the_busiest_first():
    text = clients_text([ALICE, BOB])
    assert text.isascii()
    assert parse_clients(text) == (2, [ClientInfo("b\\xf6b", "ws2", "10.0.0.2", 40002, 120, 118), ALICE])


def test_as_many_as_fit_are_written():
    many = [ClientInfo("u" * 80, "h" * 80, "10.0.0.1", port, port, 0) for port in range(1000)]
    text = clients_text(many)
    count, found = parse_clients(text)
    assert MAX_BYTES - 300 < len(text) < MAX_BYTES
    assert (count, [each.port for each in found]) == (1000, list(range(999, 999 - len(found), -1)))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"count": 1, "clients": [{"user": "a"}]}', '{"count": "x", "clients": []}']
)
def test_other_text_is_refused(text):
    with pytest.raises(MessageError, match="the list of clients"):
        parse_clients(text)
