"""The address of a client, as the access rules have it. Pure."""

from ipaddress import IPv6Address


def host_of(peer: str) -> str:
    """Return the address of a peer.

    Parameters
    ----------
    peer
        Address and port, as p4p gives them: ``10.28.1.5:40000``, or ``[::ffff:10.28.1.5]:40000`` of a server that
        listens on all interfaces.

    Returns
    -------
    str
        IPv4 where it is one, ``10.28.1.5``.
    """
    host = peer.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        mapped = IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)
