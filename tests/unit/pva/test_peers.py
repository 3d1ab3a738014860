"""The address of a client, as the access rules have it."""

import pytest

from ponikeeper.pva.peers import host_of


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("10.28.1.5:40000", "10.28.1.5"),
        ("[::ffff:10.28.1.5]:40000", "10.28.1.5"),
        ("[::1]:40000", "::1"),
        ("[fe80::1%eth0]:40000", "fe80::1"),
        ("", ""),
    ],
)
def test_address_is_that_of_the_rules(peer, host):
    assert host_of(peer) == host
