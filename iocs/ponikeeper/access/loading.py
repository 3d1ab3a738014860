"""Loading and reloading of the access rules of a configuration."""

import logging
import socket
from ipaddress import IPv4Network

from ponikeeper.access import acf
from ponikeeper.access.rules import OPEN, Network, Right, Rules, short_form
from ponikeeper.config import Config
from ponikeeper.errors import AccessFileError, ConfigError

log = logging.getLogger(__name__)


class Access:
    """The active access rules.

    Parameters
    ----------
    config
        Configuration of the IOC.

    Raises
    ------
    ConfigError
        The access security file cannot be used; the IOC must not start then.
    """

    def __init__(self, config: Config) -> None:
        self.rules = read_rules(config)

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Return what a client may do; parameters as `Rules.right`."""
        return self.rules.right(user, address, level)

    def renew(self, config: Config) -> None:
        """Activate the rules of a changed configuration; on `ConfigError` the previous rules stay active."""
        rules = read_rules(config)
        if rules is OPEN and self.rules is not OPEN:  # a truncated file would admit every client
            raise ConfigError(
                f"{config.source}: the table [access] is missing now: expected rules; "
                "to serve without any, restart the IOC"
            )
        self.rules = rules


def read_rules(config: Config) -> Rules:
    """Read the access rules of a configuration.

    Parameters
    ----------
    config
        Configuration of the IOC.

    Returns
    -------
    Rules
        `OPEN` without a table [access].

    Raises
    ------
    ConfigError
        The access security file cannot be used; the message names the line. Or it cannot be applied to PVAccess.
    """
    rules = _read_rules(config)
    if config.pva.enabled and rules.reading_depends_on_user():
        raise ConfigError(
            f"{rules.source}: who may read depends on the user, whom PVAccess does not know before a put: expected "
            "READ for everyone on these hosts, such as RULE(1, READ), or enabled = false in [pva]"
        )
    return rules


def _read_rules(config: Config) -> Rules:
    access = config.access
    if access is None:
        return OPEN
    if access.file is None:
        hosts = None if access.write is None else frozenset(map(IPv4Network, access.write))
        return short_form(hosts, None if access.users is None else frozenset(access.users), str(config.source))
    path = config.source.parent / access.file
    try:
        groups = acf.parse(path.read_text("utf-8"), addresses)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f'{config.source}: access: file = "{access.file}": {path}: {error}; expected an EPICS access security '
            "file, its path relative to the configuration"
        ) from error
    except AccessFileError as error:
        raise ConfigError(f"{path}: {problem}" for problem in error.problems) from None
    if access.asg not in groups:
        raise ConfigError(
            f'{config.source}: access: asg = "{access.asg}": {path} has no such ASG, only {", ".join(groups)}'
        )
    return Rules(groups[access.asg], str(path))


def addresses(host: str) -> frozenset[Network]:
    """Look up the addresses of a host; an unknown host has none, and so gains no rights."""
    try:
        entries = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        log.warning("access rules: the host %s is unknown (%s): rules that name it admit no client", host, error)
        return frozenset()
    return frozenset(IPv4Network(str(address[0])) for *_, address in entries)
