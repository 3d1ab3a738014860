"""The command that writes the systemd units for a configuration, and prints the next steps."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ponikeeper.cli.console import load_config, make_folder, print_text
from ponikeeper.errors import ConfigError, RefusedError
from ponikeeper.site.deploy_files import deploy_folder
from ponikeeper.system.atomic_write import write_atomic

if TYPE_CHECKING:
    from ponikeeper.config import Config

_EXPECTED = ("/opt/ponikeeper/bin/ponikeeper", "/etc/ponikeeper/%i.toml")
"""Program and configuration, as the shipped units have them."""

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108
"""Folders that are hidden from the shipped units."""


def install_unit(
    config: Annotated[Path, typer.Argument(help="the configuration (TOML); its name is that of the instance")],
    folder: Annotated[Path, typer.Option(help="where systemd looks for units")] = Path("/etc/systemd/system"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be written, and write nothing")] = False,
    force: Annotated[bool, typer.Option("--force", help="overwrite files that were edited")] = False,
) -> None:
    """Write the systemd units for a configuration: ponikeeper install-unit /etc/ponikeeper/28id1.toml.

    Nothing is started: the commands for that are printed.
    """
    loaded, place, program = load_config(config), config.absolute(), Path(sys.prefix) / "bin" / "ponikeeper"
    files = unit_files(place, program)
    edited = [name for name, text in files.items() if (folder / name).exists() and (folder / name).read_text() != text]
    if edited and not force:
        raise RefusedError(
            f"{', '.join(edited)} in {folder} differs from what would be written: make changes in drop-ins "
            "(systemctl edit); --force overwrites these files"
        )
    for name, text in files.items():
        state = "unchanged" if (folder / name).exists() and name not in edited else "written"
        if state == "written" and not dry_run:
            make_folder((folder / name).parent)
            write_atomic(folder / name, text.encode())
        print_text(f"{folder / name}: {'would be written' if dry_run and state == 'written' else state}")
    for sentence in obstacles(loaded, place, program):
        print_text(f"ATTENTION: {sentence}")
    print_text("then, as root:")
    commands = [(command.format(config.stem), meaning) for command, meaning in _NEXT]
    width = max(len(command) for command, _ in commands)
    for command, meaning in commands:
        print_text(f"  {command:<{width}}  # {meaning}")


_NEXT = (
    ("systemctl daemon-reload", "systemd reads the units"),
    ("systemctl enable --now ponikeeper@{}", "starts it, now and at each boot, and waits until it answers"),
    ("systemctl enable --now ponikeeper-backup@{}.timer", "copies its history to /var/backups/ponikeeper each night"),
    ("systemctl enable --now ponikeeper-mirror@{}", "copies it into Tiled; first write /etc/ponikeeper/mirror.env"),
    ("journalctl -u ponikeeper@{}", "its log; puts: journalctl -t ponikeeper-put"),
)
"""The next commands for an instance, each with its purpose."""


def unit_files(config: Path, program: Path) -> dict[str, str]:
    """Return the texts of the files by their names in systemd's folder: the units, and a drop-in if paths differ.

    Parameters
    ----------
    config
        Absolute path of the configuration.
    program
        The program that serves it.

    Raises
    ------
    ConfigError
        A path that is special to systemd, or that cannot be the name of a unit.
    """
    if not re.fullmatch(r"[\w.:-]+", config.stem, flags=re.ASCII):
        raise ConfigError(
            f"{config}: its name cannot be the name of a unit: expected letters, digits, and any of . : _ -, "
            "such as 28id1.toml"
        )
    for path in (config, program):
        if character := re.search(r"[^\w@.:+/-]", str(path), flags=re.ASCII):
            raise ConfigError(f"{path}: {character[0]!r} is special to systemd: expected a path without it")
    shipped = deploy_folder() / "systemd"
    files = {path.name: path.read_text() for path in sorted(shipped.glob("ponikeeper*@.*"))}
    if (str(program), str(config)) == (_EXPECTED[0], _EXPECTED[1].replace("%i", config.stem)):
        return files
    for unit in [name for name in files if name.endswith(".service")]:
        (line,) = (line for line in files[unit].splitlines() if line.startswith("ExecStart="))
        here = line.replace(_EXPECTED[0], str(program)).replace(_EXPECTED[1], str(config))
        instance = unit.replace("@.", f"@{config.stem}.")
        files[f"{instance}.d/place.conf"] = f"# written by ponikeeper install-unit\n[Service]\nExecStart=\n{here}\n"
    return files


def obstacles(loaded: "Config", config: Path, program: Path) -> list[str]:
    """Return what the restrictions of the unit would prevent, one sentence each; parameters as `unit_files`."""
    state, logs = Path("/var/lib/ponikeeper", config.stem), Path("/var/log/ponikeeper", config.stem)
    problems = [
        f"{path} is hidden from the unit (ProtectHome, PrivateTmp), which would not start: expected one such as {usual}"
        for path, usual in ((program, _EXPECTED[0]), (config, _EXPECTED[1].replace("%i", config.stem)))
        if any(path.is_relative_to(folder) for folder in _HIDDEN)
    ]
    if loaded.ioc.state_dir is not None and not Path(loaded.ioc.state_dir).is_relative_to(state):
        problems.append(
            f"ioc.state_dir: the unit may not write to {loaded.ioc.state_dir}: expected no state_dir, for {state}"
        )
    putlog = loaded.ioc.putlog
    if putlog not in (None, "journal") and not any(Path(putlog).is_relative_to(folder) for folder in (state, logs)):
        problems.append(
            f"ioc.putlog: the unit may not write to {putlog}: expected a file in {logs}, or none, for the journal"
        )
    return problems
