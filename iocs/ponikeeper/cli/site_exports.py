"""The group export: its commands that write files for other programs (alarm server, archiver, screens, PV list)."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ponikeeper.cli.console import make_folder, print_text
from ponikeeper.cli.export import export
from ponikeeper.errors import MissingExtraError
from ponikeeper.site.deploy_files import deploy_folder
from ponikeeper.site.screens import overview as drawing
from ponikeeper.system.atomic_write import write_atomic

ConfigFile = Annotated[Path, typer.Argument(help="the configuration (TOML)")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="folder to write to; it is created if needed")]


@export.command()
def alarms(
    config: ConfigFile,
    output: Folder = Path(),
    root: Annotated[str, typer.Option(help="name of the alarm configuration to import the tree into")] = "Accelerator",
) -> None:
    """Write the alarm tree for Phoebus: ponikeeper export alarms /etc/ponikeeper/28id1.toml -o DIR."""

    def text(loaded: Any) -> str:
        from ponikeeper.site.alarm_tree import alarm_tree

        return alarm_tree(loaded, root)

    _write(config, output, "alarms.xml", text)


@export.command()
def archiver(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the request to the Archiver Appliance: ponikeeper export archiver /etc/ponikeeper/28id1.toml -o DIR."""

    def text(loaded: Any) -> str:
        from ponikeeper.site.archiver import archiver_request

        return archiver_request(loaded)

    _write(config, output, "archiver.json", text)


@export.command()
def pvlist(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the names of all PVs, one per line: ponikeeper export pvlist /etc/ponikeeper/28id1.toml -o DIR."""

    def text(loaded: Any) -> str:
        from ponikeeper.site.pv_list import pv_list

        return pv_list(loaded)

    _write(config, output, "pvlist", text)


@export.command()
def screens(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the screens for Phoebus: ponikeeper export screens /etc/ponikeeper/28id1.toml -o DIR.

    Open the overview of this configuration's detectors first; it opens the others.
    """

    def overview(loaded: Any) -> str:
        detectors = [(each.prefix, each.title or each.prefix) for each in loaded.detector]
        return drawing.overview(f"{config.stem}: geometry of the area detectors", loaded.ioc.prefix, detectors)

    _write(config, output, "bob", overview)
    for screen in sorted((deploy_folder() / "phoebus").glob("*.bob")):
        if screen.name != drawing.EXAMPLE:
            write_atomic(output / screen.name, screen.read_bytes())
            print_text(f"{output / screen.name}: written")


def _write(config: Path, folder: Path, kind: str, text: Callable[[Any], str]) -> None:
    """Write one file, named after the configuration: 28id1.alarms.xml."""
    try:
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError("ioc", error.name or "pydantic") from error
    data = text(load(config)).encode()
    make_folder(folder)
    path = folder / f"{config.stem}.{kind}"
    write_atomic(path, data)
    print_text(f"{path}: written")
