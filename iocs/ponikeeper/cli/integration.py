"""The command that shows and changes the mask and the integration settings of a detector: integration."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, Prefix, ca_client, print_text, run_ca
from ponikeeper.cli.masks import check_mask
from ponikeeper.cli.sending import send
from ponikeeper.errors import ConfigError, RefusedError
from ponikeeper.geometry.files import MASK, NO_FILES, files_of
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.findings import WHERE_TO_BEGIN
from ponikeeper.protocol.integration import EXAMPLE, integration_of, integration_text, parse_integration
from ponikeeper.protocol.reduction import KEPT, with_reduction
from ponikeeper.system.file_hash import file_entry
from ponikeeper.text.strictjson import dumps, plain

INTEGRATION_HELP = f"integration settings, or a file with them: '{dumps(plain(EXAMPLE))}'"

_NONE = "none"


def integration(
    prefix: Prefix,
    settings: Annotated[str | None, typer.Option("--set", metavar="JSON", help=INTEGRATION_HELP)] = None,
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="an image or array, nonzero is masked; none removes the mask")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="remove the settings")] = False,
    as_json: AsJson = False,
) -> None:
    """Show or change how images are integrated: ponikeeper integration 'P:' --set '{"npt": 3000, "unit": "q_nm^-1"}'.

    A change is a new revision with the same geometry, label and position. Later commits keep the settings; runs record
    them, and integrate(run) in Python uses exactly them. The keys are arguments of pyFAI's integrate1d.
    """
    if settings is not None and remove:
        raise ConfigError("--set and --remove are both given: expected one of them")
    snapshot = run_ca(ca_client().read_snapshot(prefix))
    if settings is None and mask is None and not remove:
        _show(snapshot, as_json=as_json)
        return
    wanted = KEPT if settings is None else read_settings(settings)
    files = None if mask is None else NO_FILES if mask == _NONE else {MASK: file_entry(mask)}
    if files and mask is not None and snapshot.geometry is not None:
        check_mask(mask, snapshot.geometry.as_dict())
    send(prefix, with_reduction(snapshot, None if remove else wanted, files), as_json=as_json)


def read_settings(given: str) -> dict[str, object]:
    """Read integration settings from the command line.

    Parameters
    ----------
    given
        One JSON object, or the path of a file with one.

    Returns
    -------
    dict
        The settings.

    Raises
    ------
    ConfigError
        The file cannot be read.
    MessageError
        The settings are not allowed.
    """
    if given.lstrip().startswith("{"):
        return parse_integration(given)
    try:
        return parse_integration(Path(given).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given} cannot be read ({error}): expected JSON, or a file with JSON") from None


def _show(snapshot: Snapshot, *, as_json: bool) -> None:
    if snapshot.geometry is None:
        raise RefusedError(f"no revision of {snapshot.prefix} is active yet: {WHERE_TO_BEGIN}")
    settings, mask = integration_of(snapshot.provenance), files_of(snapshot.provenance).get(MASK)
    if as_json:
        values = {"v": 1, "revision": snapshot.revision, "uid": snapshot.uid, "integration": settings, "mask": mask}
        print_text(dumps(plain(values)))
        return
    print_text(f"{snapshot.prefix} revision {snapshot.revision}")
    print_text("integration: " + ("no settings" if settings is None else integration_text(settings)))
    print_text("mask: " + ("none" if mask is None else f"{mask['path']}, sha256 {mask['sha256']}"))
