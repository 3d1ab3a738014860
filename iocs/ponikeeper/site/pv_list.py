"""The list of all PVs of an IOC, one name per line. Pure."""

from ponikeeper.config import Config


def pv_list(config: Config) -> str:
    """Format the names of all PVs, one per line."""
    return "".join(f"{name}\n" for name, _ in config.served_pvs())
