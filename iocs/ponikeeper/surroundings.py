"""The commands that write what an IOC's surroundings need: the alarm server, the archiver, a list of its PVs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ponikeeper.console import emit
from ponikeeper.errors import ConfigError, MissingExtraError
from ponikeeper.wholefile import replace

ConfigFile = Annotated[Path, typer.Argument(help="the configuration (TOML)")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="folder to write to; it is made where it is not there")]


def alarms(
    config: ConfigFile,
    output: Folder = Path(),
    root: Annotated[
        str, typer.Option(help="name of the alarm configuration that it becomes a part of")
    ] = "Accelerator",
) -> None:
    """Write the alarm tree for Phoebus: ponikeeper export alarms /etc/ponikeeper/28id1.toml -o DIR."""
    _write(config, output, "alarms.xml", lambda monitoring, loaded: monitoring.alarm_tree(loaded, root))


def archiver(config: ConfigFile, output: Folder = Path()) -> None:
    """Write what the Archiver Appliance is asked: ponikeeper export archiver /etc/ponikeeper/28id1.toml -o DIR."""
    _write(config, output, "archiver.json", lambda monitoring, loaded: monitoring.archiver_request(loaded))


def pvlist(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the names of all PVs, one a line: ponikeeper export pvlist /etc/ponikeeper/28id1.toml -o DIR."""
    _write(config, output, "pvlist", lambda monitoring, loaded: monitoring.pv_list(loaded))


def _write(config: Path, folder: Path, kind: str, text: Callable[[Any, Any], str]) -> None:
    """Write one file, called after the configuration: 28id1.alarms.xml."""
    try:
        from ponikeeper import monitoring
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError("ioc", error.name or "pydantic") from error
    data = text(monitoring, load(config)).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}: expected a folder that can be written to") from error
    path = folder / f"{config.stem}.{kind}"
    replace(path, data)
    emit(f"{path}: written")
