"""The commands for what an IOC serves, and whom: list, clients."""

import fnmatch
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, ca_client, load_config, print_error, print_text, run_ca
from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.protocol.clients import parse_clients
from ponikeeper.protocol.pvs import DETECTOR_PVS, PV
from ponikeeper.protocol.status import Severity
from ponikeeper.text.ascii import cut
from ponikeeper.text.strictjson import dumps

_SHOWN = 100
"""Characters of a value that are printed."""

_NOT_CONNECTED = 3


def list_(
    name: Annotated[
        str, typer.Argument(metavar="CONFIG|PREFIX", help="the configuration of an IOC, or the PV prefix of a detector")
    ],
    match: Annotated[str, typer.Option(help="only names with this behind the prefix, such as 'Dist*'")] = "*",
    values: Annotated[bool, typer.Option("--values", help="also read each PV: value, units, alarm severity")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="with --values: seconds to wait for an answer")] = 5.0,
) -> None:
    """List the PVs of an IOC or a detector: ponikeeper list 'XF:28ID1-ES{Det:PE1}Calib:' --match 'Dist*' --values.

    Without --values nothing is asked over Channel Access. With it, the exit code is 3 if a PV does not answer.
    """
    pvs = [(whole, pv) for whole, pv in _pvs(name) if fnmatch.fnmatchcase(pv.suffix, match)]
    if not pvs:
        others = [pv.suffix for _, pv in _pvs(name) if fnmatch.fnmatchcase(pv.suffix.lower(), match.lower())]
        hint = f" (there is {others[0]}: upper and lower case count)" if others else ""
        raise RefusedError(f"--match {match}: no PV of {name} has a name like that{hint}")
    if not values:
        print_text("\n".join(whole for whole, _ in pvs))
        return
    from ponikeeper.caclient.values import read_values

    readings = run_ca(read_values(pvs, timeout))
    width = max(len(whole) for whole, _ in pvs)
    for (whole, pv), reading in zip(pvs, readings, strict=True):
        if reading is None:
            print_error(f"{whole:<{width}}  does not answer within {timeout:g} s")
            continue
        text = cut(" ".join(reading.text.split()), _SHOWN)
        severity = Severity(reading.severity).name if reading.severity in set(Severity) else str(reading.severity)
        print_text(f"{whole:<{width}}  {text} {pv.units}".rstrip() + (f"  {severity}" if reading.severity else ""))
    if None in readings:
        raise typer.Exit(_NOT_CONNECTED)


def clients(
    name: Annotated[
        str, typer.Argument(metavar="CONFIG|PREFIX", help="the configuration of an IOC, or the prefix of its own PVs")
    ],
    as_json: AsJson = False,
) -> None:
    """List the Channel Access clients of an IOC: ponikeeper clients /etc/ponikeeper/28id1.toml.

    User and host are what the client claims, the address is that of its connection. The list is up to ten seconds old,
    and has as many clients as fit its PV, those with the most channels first.
    """
    prefix = load_config(Path(name)).ioc.prefix if _is_config(name) else name
    try:
        count, found = parse_clients(run_ca(ca_client().read_text(f"{prefix}Clients_RBV")))
    except NotConnectedError as error:
        raise NotConnectedError(
            f"{error} Expected the configuration of an IOC, or the prefix of its own PVs, not that of a detector."
        ) from error
    if as_json:
        print_text(dumps({"count": count, "clients": [asdict(client) for client in found]}))
        return
    rows = [("user@host", "address", "channels", "monitors")]
    rows += [
        (f"{each.user}@{each.host}", f"{each.address}:{each.port}", str(each.channels), str(each.subscriptions))
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print_text("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if count > len(found):
        print_text(f"and {count - len(found)} more clients, with fewer channels")


def _is_config(name: str) -> bool:
    """Return whether an argument names a configuration, and no PV prefix."""
    return Path(name).suffix == ".toml" or Path(name).exists()


def _pvs(name: str) -> list[tuple[str, PV]]:
    if _is_config(name):
        return load_config(Path(name)).served_pvs()
    return [(name + pv.suffix, pv) for pv in DETECTOR_PVS]
