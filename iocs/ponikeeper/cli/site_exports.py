"""The group export: its commands that write files for other programs, such as the alarm server and areaDetector."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import load_config, make_folder, print_text
from ponikeeper.cli.export import export
from ponikeeper.errors import ConfigError
from ponikeeper.site.deploy_files import deploy_folder
from ponikeeper.site.screens import overview as drawing
from ponikeeper.system.atomic_write import write_atomic

ConfigFile = Annotated[Path, typer.Argument(help="the configuration (TOML)")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="folder to write to; it is created if needed")]


@export.command()
def alarms(
    config: ConfigFile,
    output: Folder = Path(),
    root: Annotated[
        str | None, typer.Option(help="name of the alarm configuration; if omitted, one that only this IOC has")
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(help="a tree of the site (alarm-server -export): also write it with this IOC in it"),
    ] = None,
) -> None:
    """Write the alarm tree for Phoebus: ponikeeper export alarms /etc/ponikeeper/28id1.toml -o DIR.

    An import by the alarm server first deletes everything below the name of the alarm configuration. Therefore the
    tree has a name of its own; to have the alarms in a tree of the site, import the one that --site writes.
    """
    loaded = load_config(config)
    from ponikeeper.site import alarm_tree

    name = root if root is not None else alarm_tree.usual_root(loaded)
    texts = {"alarms.xml": alarm_tree.alarm_tree(loaded, name)}
    texts["alarms.component.xml"] = alarm_tree.alarm_component(loaded)
    if site is not None:
        texts["alarms.site.xml"] = _read_site(site, lambda text: alarm_tree.with_component(text, loaded))
    for kind, text in texts.items():
        _write(config, output, kind, text)
    print_text(f"alarm-server -config {name} -import deletes everything below {name} before it loads the file")


def _read_site(site: Path, change: Callable[[str], str]) -> str:
    """Read an alarm tree of the site, and change it; an error names the file."""
    try:
        return change(site.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{site}: {error.strerror}: expected a file of alarm-server -export") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"{site}: {error}") from None


@export.command()
def archiver(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the request to the Archiver Appliance: ponikeeper export archiver /etc/ponikeeper/28id1.toml -o DIR."""
    from ponikeeper.site.archiver import archiver_request

    _write(config, output, "archiver.json", archiver_request(load_config(config)))


@export.command()
def pvlist(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the names of all PVs, one per line: ponikeeper export pvlist /etc/ponikeeper/28id1.toml -o DIR."""
    from ponikeeper.site.pv_list import pv_list

    _write(config, output, "pvlist", pv_list(load_config(config)))


@export.command()
def areadetector(config: ConfigFile, output: Folder = Path()) -> None:
    """Write attributes and HDF5 layouts for areaDetector: ponikeeper export areadetector 28id1.toml -o DIR.

    Two files for each detector, so that the files of its images have the geometry: the attributes for
    NDAttributesFile of its driver, and a NeXus layout for XMLFileName of its HDF5 plugin.
    """
    from ponikeeper.site.areadetector import file_stems, hdf5_layout, nd_attributes

    loaded = load_config(config)
    for stem, detector in zip(file_stems(loaded), loaded.detector, strict=True):
        _write(config, output, f"{stem}.attributes.xml", nd_attributes(detector))
        _write(config, output, f"{stem}.layout.xml", hdf5_layout(detector))


@export.command()
def screens(config: ConfigFile, output: Folder = Path()) -> None:
    """Write the screens for Phoebus: ponikeeper export screens /etc/ponikeeper/28id1.toml -o DIR.

    Open the overview of this configuration's detectors first; it opens the others.
    """
    loaded = load_config(config)
    detectors = [(each.prefix, each.title or each.prefix) for each in loaded.detector]
    overview = drawing.overview(f"{config.stem}: geometry of the area detectors", loaded.ioc.prefix, detectors)
    _write(config, output, "bob", overview)
    for screen in sorted((deploy_folder() / "phoebus").glob("*.bob")):
        if screen.name != drawing.EXAMPLE:
            write_atomic(output / screen.name, screen.read_bytes())
            print_text(f"{output / screen.name}: written")


def _write(config: Path, folder: Path, kind: str, text: str) -> None:
    """Write one file, named after the configuration: 28id1.alarms.xml."""
    make_folder(folder)
    path = folder / f"{config.stem}.{kind}"
    write_atomic(path, text.encode())
    print_text(f"{path}: written")
