"""The access rules of a configuration, and the hosts that its file names: read, and read anew."""

import logging
import socket
from ipaddress import IPv4Network

from ponikeeper.access import acf
from ponikeeper.access.rules import OPEN, Network, Right, Rules, short_form
from ponikeeper.config import Config
from ponikeeper.errors import AccessFileError, ConfigError

log = logging.getLogger(__name__)


class Access:
    """The rules in force.

    Parameters
    ----------
    config
        Which says what they are.

    Raises
    ------
    ConfigError
        The file cannot be used: nothing is served then.
    """

    def __init__(self, config: Config) -> None:
        self.rules = read_rules(config)

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Give what a client may do; see `Rules`."""
        return self.rules.right(user, address, level)

    def renew(self, config: Config) -> None:
        """Put other rules in force; raises `ConfigError`, and leaves those that are, where they cannot be used."""
        rules = read_rules(config)
        if rules is OPEN and self.rules is not OPEN:  # a file that was cut would let everybody in
            raise ConfigError(
                f"{config.source}: there is no [access] any more: expected rules; to serve without any, start anew"
            )
        self.rules = rules


def read_rules(config: Config) -> Rules:
    """Read the access rules of a configuration.

    Raises
    ------
    ConfigError
        The file cannot be used; says which line of it.
    """
    said = config.access
    if said is None:
        return OPEN
    if said.file is None:
        hosts = None if said.write is None else frozenset(map(IPv4Network, said.write))
        return short_form(hosts, None if said.users is None else frozenset(said.users), str(config.source))
    path = config.source.parent / said.file
    try:
        groups = acf.parse(path.read_text("utf-8"), addresses)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f'{config.source}: access: file = "{said.file}": {path}: {error}; expected an EPICS access security file, '
            "its path relative to the configuration"
        ) from error
    except AccessFileError as error:
        raise ConfigError(f"{path}: {problem}" for problem in error.problems) from None
    if said.asg not in groups:
        raise ConfigError(
            f'{config.source}: access: asg = "{said.asg}": {path} has no such ASG, only {", ".join(groups)}'
        )
    return Rules(groups[said.asg], str(path))


def addresses(host: str) -> frozenset[Network]:
    """Look a host up; one that is not known has no address, and is let in nowhere."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        log.warning("access rules: the host %s is not known (%s): nobody is let in by its name", host, error)
        return frozenset()
    return frozenset(IPv4Network(str(address[0])) for *_, address in found)
