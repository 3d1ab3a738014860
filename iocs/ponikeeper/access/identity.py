"""Who a client is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """The identity of a client: user and host as it claims, and the address of its TCP connection."""

    user: str
    host: str
    address: str

    def __str__(self) -> str:
        text = f"{self.user or 'unknown'}@{self.host or self.address}"
        return "".join(char for char in text if char.isascii() and char.isprintable())[:80]
