"""Who may read and write: the rules, and what they give to one client. Pure.

A client's host is the address that TCP knows, never the name that it claims. Its user is a claim,
which Channel Access has no means to check: a rule about users keeps mistakes out, not people.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network

Network = IPv4Network
"""A host is a network of one address."""


class Right(IntEnum):
    """What a client may do; each holds those before it."""

    NONE = 0
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an access security group.

    Parameters
    ----------
    right
        What it gives to whom it is for.
    users
        Names of the users that it is for; None is every one.
    hosts
        Where they have to be; None is anywhere.
    level
        The highest access security level of the fields that it is for: 0 the value, 1 the others too.
    """

    right: Right
    users: frozenset[str] | None = None
    hosts: frozenset[Network] | None = None
    level: int = 1

    def is_for(self, user: str, address: IPv4Address, level: int) -> bool:
        """Tell whether it is for this client and field."""
        return (
            level <= self.level
            and (self.users is None or user in self.users)
            and (self.hosts is None or any(address in network for network in self.hosts))
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All that was said of who may do what.

    Parameters
    ----------
    group
        The rules for our PVs; they add up.
    source
        Where they were read, for people; empty where nothing was said.
    """

    group: tuple[Rule, ...]
    source: str = ""

    def __str__(self) -> str:
        return f"access rules of {self.source}" if self.source else "no access rules: everybody may write"

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Give what a client may do with a field.

        Parameters
        ----------
        user
            As the client claims.
        address
            Of its end of the TCP connection; one that is no IPv4 address may do nothing.
        level
            Access security level of the field.
        """
        try:
            known = IPv4Address(address)
        except ValueError:
            return Right.NONE
        return max((rule.right for rule in self.group if rule.is_for(user, known, level)), default=Right.NONE)


OPEN = Rules((Rule(Right.WRITE),))
"""Where nothing was said, everybody may write, as with any IOC that has no access security."""


def short_form(hosts: frozenset[Network] | None, users: frozenset[str] | None, source: str) -> Rules:
    """Make the rules of the short form: everybody may read, and write who is in both lists, where given."""
    return Rules((Rule(Right.READ), Rule(Right.WRITE, users, hosts)), source)
