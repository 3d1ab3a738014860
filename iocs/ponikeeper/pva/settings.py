"""Where the PVAccess server listens: by the configuration, the EPICS variables, or as Channel Access does. Pure."""

from collections.abc import Mapping, Sequence

from ponikeeper.config import Pva
from ponikeeper.errors import ConfigError

ANY = "0.0.0.0"  # noqa: S104  # all interfaces, IPv4: access rules know no other addresses

_INTERFACES, _PORT = "EPICS_PVAS_INTF_ADDR_LIST", "EPICS_PVAS_SERVER_PORT"
_MAX_PORT = 65535


def server_settings(pva: Pva, variables: Mapping[str, str], ca_interfaces: Sequence[str]) -> dict[str, str]:
    """Return the settings that are not left to the environment, by the names of the EPICS variables.

    Parameters
    ----------
    pva
        The table [pva].
    variables
        The environment.
    ca_interfaces
        Addresses on which the Channel Access server listens.

    Returns
    -------
    dict
        For p4p's `Server`.
    """
    settings: dict[str, str] = {}
    if pva.interfaces is not None:
        settings[_INTERFACES] = " ".join(pva.interfaces)
    elif not variables.get(_INTERFACES, "").strip():
        settings[_INTERFACES] = " ".join(ca_interfaces)
    ports = {_PORT: pva.port, "EPICS_PVAS_BROADCAST_PORT": pva.search_port}
    return settings | {name: str(port) for name, port in ports.items() if port is not None}


def required_port(pva: Pva, variables: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the TCP port that must be free, after the name of what says so.

    Parameters
    ----------
    pva
        The table [pva].
    variables
        The environment.

    Returns
    -------
    tuple of str and int, or None
        None where any port will do: clients find the server by their searches.

    Raises
    ------
    ConfigError
        The variable is no port.
    """
    if pva.port is not None:
        return "port", pva.port
    text = variables.get(_PORT, "").strip()
    if text and not (text.isascii() and text.isdecimal() and int(text) <= _MAX_PORT):
        raise ConfigError(f"{_PORT} is {text!a}: expected a port such as 5075, or 0 for any")
    return (_PORT, int(text)) if text and int(text) else None


def own_host(interfaces: str) -> str:
    """Return an address at which a server answers its own host.

    Parameters
    ----------
    interfaces
        Where it listens, as ``EPICS_PVAS_INTF_ADDR_LIST`` says.

    Returns
    -------
    str
    """
    first = interfaces.split(maxsplit=1)[0].partition(":")[0] if interfaces.split() else ANY
    return "127.0.0.1" if first == ANY else first
