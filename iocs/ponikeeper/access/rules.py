"""Access rules: which clients may read and write. Pure.

The host of a client is the address of its TCP connection, never the name that it claims. Its user name is a claim
that Channel Access cannot check: rules about users prevent mistakes, not attacks.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

Network = IPv4Network
"""A single host is a network of one address."""


class Right(IntEnum):
    """What a client may do; each right includes those before it."""

    NONE = 0
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an access security group.

    Parameters
    ----------
    right
        The right that the rule grants.
    users
        Names of the users that it applies to; None is any.
    hosts
        Networks of the hosts that it applies to; None is any.
    level
        The highest access security level of the fields that it applies to: 0 is the value only, 1 all fields.
    """

    right: Right
    users: frozenset[str] | None = None
    hosts: frozenset[Network] | None = None
    level: int = 1

    def applies_to(self, user: str, address: IPv4Address, level: int) -> bool:
        """Return whether the rule applies to a client and a field."""
        return (
            level <= self.level
            and (self.users is None or user in self.users)
            and (self.hosts is None or any(address in network for network in self.hosts))
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The access rules of an IOC.

    Parameters
    ----------
    group
        The rules for the PVs of the IOC; the highest right of those that apply counts.
    source
        File that has the rules, for messages; empty without rules.
    """

    group: tuple[Rule, ...]
    source: str = ""

    def __str__(self) -> str:
        return f"access rules of {self.source}" if self.source else "no access rules: every client may write"

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Return what a client may do with a field.

        Parameters
        ----------
        user
            User name, as the client claims.
        address
            Address of its TCP connection; without an IPv4 address it has no rights.
        level
            Access security level of the field.

        Returns
        -------
        Right
            The highest right of the rules that apply.
        """
        try:
            known = IPv4Address(address)
        except ValueError:
            return Right.NONE
        return max((rule.right for rule in self.group if rule.applies_to(user, known, level)), default=Right.NONE)

    def reading_depends_on_user(self) -> bool:
        """Return whether two users of one host may differ in what they may read.

        Returns
        -------
        bool
            False where each host of a rule about users is also one of the rules without users.
        """
        everyone = [rule for rule in self.group if rule.users is None and rule.right >= Right.READ]
        if any(rule.hosts is None for rule in everyone):
            return False
        known = list(collapse_addresses(network for rule in everyone for network in rule.hosts or ()))
        some = [rule for rule in self.group if rule.users and rule.right >= Right.READ]
        return any(
            not any(network.subnet_of(other) for other in known)
            for rule in some
            for network in (_ALL if rule.hosts is None else rule.hosts)
        )


_ALL = frozenset({IPv4Network("0.0.0.0/0")})

OPEN = Rules((Rule(Right.WRITE),))
"""The rules of an IOC without access security: every client may write."""


def short_form(hosts: frozenset[Network] | None, users: frozenset[str] | None, source: str) -> Rules:
    """Build rules from lists of hosts and users: every client may read, those in both lists may write.

    Parameters
    ----------
    hosts, users
        Who may write; None is any.
    source
        File that has the lists, for messages.

    Returns
    -------
    Rules
        The rules.
    """
    return Rules((Rule(Right.READ), Rule(Right.WRITE, users, hosts)), source)
