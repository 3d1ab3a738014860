"""The commands that commit a geometry: put, set."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, Prefix, ca_client, run_ca
from ponikeeper.cli.integration import INTEGRATION_HELP, read_settings
from ponikeeper.cli.masks import check_mask
from ponikeeper.cli.poni_files import Energy, Wavelength, read_poni_file
from ponikeeper.cli.sending import Timeout, Wait, send, wait_seconds
from ponikeeper.errors import ConfigError
from ponikeeper.geometry.parameters import NAMES, PARAMETERS, parse_number
from ponikeeper.geometry.wavelengths import given_wavelength
from ponikeeper.protocol import Commit
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.protocol.position_choice import choose_position, given_position
from ponikeeper.system import terminal
from ponikeeper.system.file_hash import file_entry
from ponikeeper.text.strictjson import loads


def put(
    prefix: Prefix,
    file: Annotated[Path, typer.Argument(help="the PONI file")],
    label: Annotated[str | None, typer.Option(help="name of the revision, such as near")] = None,
    comment: Annotated[str | None, typer.Option(help="a comment for later users")] = None,
    calibrant: Annotated[str | None, typer.Option(help="the powder standard, such as Ni")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="an image or array, nonzero is masked; stored as path and SHA-256")
    ] = None,
    integration: Annotated[str | None, typer.Option(metavar="JSON", help=INTEGRATION_HELP)] = None,
    here: Annotated[bool, typer.Option("--here", help="calibrated at the present position of the links")] = False,
    no_position: Annotated[
        bool, typer.Option("--no-position", help="calibrated elsewhere: UNKNOWN until record-position, where links are")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    wavelength: Wavelength = None,
    energy: Energy = None,
    expect_revision: Annotated[int | None, typer.Option(help="refuse if another revision is active")] = None,
    as_json: AsJson = False,
) -> None:
    """Commit and activate a PONI: ponikeeper put 'XF:28ID1-ES{Det:PE1}Calib:' near.poni --label near --here.

    Prints which revision is active, whether it applies, and what to type if not. Without --here and --no-position it
    asks for the position, if it runs at a terminal and the detector has links; otherwise no position is recorded.

    Files that the PONI names, such as the spline of a detector, must be readable here: their SHA-256 is stored, too.
    """
    given, seconds = given_position(here, no_position), wait_seconds(wait, timeout)
    geometry = read_poni_file(file, given_wavelength(wavelength, energy))
    provenance: dict[str, object] = {"method": "poni"}
    provenance |= {key: value for key, value in (("comment", comment), ("calibrant", calibrant)) if value}
    if integration is not None:
        provenance["integration"] = read_settings(integration)
    ask = terminal.ask if terminal.is_interactive() and not as_json else None
    position = choose_position(given, lambda: run_ca(ca_client().read_links(prefix)), ask)
    commit = with_files(Commit(geometry.as_dict(), provenance, label, position, expect_revision), file_entry, mask)
    if mask is not None:
        check_mask(mask, geometry.as_dict())
    send(prefix, commit, as_json=as_json, position=True, seconds=seconds)


def set_(
    prefix: Prefix,
    values: Annotated[list[str], typer.Argument(help="name=value, SI units, such as dist=0.2345 rot1=0.001")],
    comment: Annotated[str | None, typer.Option(help="a comment for later users")] = None,
    as_json: AsJson = False,
) -> None:
    """Change values of the active geometry in one commit: ponikeeper set 'XF:28ID1-ES{Det:PE1}Calib:' dist=0.2345."""
    pairs = [_assignment(value) for value in values]
    geometry = dict(pairs)
    if len(geometry) < len(pairs):
        raise ConfigError("a name is given twice: give each value once")
    snapshot = run_ca(ca_client().read_snapshot(prefix))
    provenance: dict[str, object] = {"method": "manual"}
    if comment:
        provenance["comment"] = comment
    commit = Commit(geometry, provenance, expect_revision=snapshot.revision, edit=True)
    send(prefix, with_files(commit, file_entry), as_json=as_json)


def _assignment(text: str) -> tuple[str, object]:
    """Parse one name=value.

    Raises
    ------
    ConfigError
        The text has another form, or the value is not valid JSON or not a number.
    """
    name, sign, value = text.partition("=")
    if not sign or name not in (*NAMES, "detector_config"):
        raise ConfigError(f"{text}: expected name=value with one of the names {' '.join(NAMES)} detector_config")
    try:
        if name in PARAMETERS:
            return name, parse_number(value)
        return name, value if name == "detector" else loads(value)
    except ValueError:
        expected = "a number in SI units (m, rad)" if name in PARAMETERS else "JSON"
        raise ConfigError(f"{text}: {value!r} is not {expected}") from None
