"""The clients of an IOC as the text of ``Clients_RBV``. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.protocol.json_text import MAX_BYTES, VERSION, read_object
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import to_ascii

_MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """One client of the CA server.

    Parameters
    ----------
    user, host
        As it claims; not verified.
    address, port
        Of its end of the connection.
    channels, subscriptions
        Numbers of its channels and of its monitors.
    """

    user: str
    host: str
    address: str
    port: int
    channels: int
    subscriptions: int


def clients_text(clients: Sequence[ClientInfo]) -> str:
    """Format the clients, those with the most channels first, as many as fit.

    Parameters
    ----------
    clients
        All clients.

    Returns
    -------
    str
        ``{"v": 1, "count": 2, "clients": [...]}``; ``count`` is the number of all clients.
    """
    head = f'{{"v": {VERSION}, "count": {len(clients)}, "clients": ['
    room, texts = MAX_BYTES - len(head) - len("]}") - 1, list[str]()
    for client in sorted(clients, key=lambda each: (-each.channels, each.address, each.port)):
        names = {key: to_ascii(value)[:_MAX_NAME] for key, value in (("user", client.user), ("host", client.host))}
        text = strictjson.dumps(asdict(client) | names)
        room -= len(text) + len(", ")
        if room < 0:
            break
        texts.append(text)
    return f"{head}{', '.join(texts)}]}}"


def parse_clients(text: str) -> tuple[int, list[ClientInfo]]:
    """Parse the text of ``Clients_RBV``.

    Parameters
    ----------
    text
        As `clients_text` formats it.

    Returns
    -------
    tuple of int and list of ClientInfo
        The number of all clients, and those that fit the text.

    Raises
    ------
    MessageError
        The text is not valid.
    """
    values = read_object(text, "list of clients")
    try:
        clients = [ClientInfo(**each) for each in cast("list[dict[str, object]]", values["clients"])]  # type: ignore[arg-type]
        return int(cast("int", values["count"])), clients
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f'the list of clients cannot be read ({error}): expected "count" and "clients"') from None
