"""The command that adds records to a store: an exported history, or calibrations from before ponikeeper."""

import contextlib
from datetime import tzinfo
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from ponikeeper.cli.console import AsJson, load_config, print_error, print_text
from ponikeeper.cli.export import read_history_file
from ponikeeper.cli.poni_files import Energy, Wavelength, wavelength_hint
from ponikeeper.errors import ConfigError, GeometryError, HistoryError, PoniError, RefusedError
from ponikeeper.geometry.wavelengths import given_wavelength
from ponikeeper.history import history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import KINDS
from ponikeeper.site import legacy_import
from ponikeeper.site.legacy_import import ImportOptions, LegacyCalibration
from ponikeeper.store import HistoryStorage
from ponikeeper.store.histories import require_no_other
from ponikeeper.store.opening import open_storage
from ponikeeper.system.time_zone import local_zone_name
from ponikeeper.text import timestamps
from ponikeeper.text.ascii import to_ascii
from ponikeeper.text.strictjson import dumps


def import_(
    config: Annotated[Path, typer.Argument(help="the configuration (TOML) of an IOC that is not running")],
    source: Annotated[
        Path, typer.Argument(help="a history file, a PONI file, a folder of PONI files, or an autosave file (.sav)")
    ],
    prefix: Annotated[
        str | None, typer.Option(help="the detector of PONI and autosave files, if the configuration has several")
    ] = None,
    old_prefix: Annotated[
        str | None,
        typer.Option("--from", help="PV prefix in an autosave file, if it is another one"),
    ] = None,
    wavelength: Wavelength = None,
    energy: Energy = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="time zone of the host that wrote the files, such as America/New_York; default: this host's"),
    ] = None,
    skip: Annotated[bool, typer.Option("--skip-unreadable", help="skip PONI files that cannot be read")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a history into a store: ponikeeper import /etc/ponikeeper/28id1.toml pe1.jsonl.

    PONI files (ponikeeper import 28id1.toml xpdacq_calib/) become revisions with the times written in
    them, or else those of the files; their position is unknown. Files do not say in which time zone
    their times are: this command prints which one it takes, and --timezone sets another.
    """
    loaded = load_config(config)
    prefixes = [detector.prefix for detector in loaded.detector]
    zone, zone_name = _zone(timezone)
    zone_used: str | None = None  # a history file has its times in UTC
    given = given_wavelength(wavelength, energy)
    now = timestamps.now()
    if _is_export(source):
        history = read_history_file(source)
        today = history.prefixes[-1]
        if today not in ([prefix] if prefix else prefixes):
            expected = prefix or " ".join(prefixes)
            raise ConfigError(f"{source} is the history of {today}: expected one of {expected} ({config})")
    else:
        detector_prefix = _detector_prefix(prefix, prefixes, config)
        limits = loaded.detector[prefixes.index(detector_prefix)].limits
        options = ImportOptions(given, zone, limits)
        legacy = (
            _read_autosave(source, old_prefix or detector_prefix, options)
            if _is_autosave(source)
            else _read_ponis(source, skip, options)
        )
        zone_used = zone_name
        if not as_json:
            print_text(f"times in the files are read in the time zone {zone_name}; --timezone NAME selects another")
        for calibration in legacy:
            if calibration.unread_time:
                print_error(_unread_time(calibration))
        history = legacy_import.to_history(detector_prefix, legacy, now)
    with contextlib.closing(open_storage(loaded.store)) as store:
        require_no_other(store.histories(), history.prefix, history.prefixes[-1])
        present, missing = _compare(store, history, source)
        records = [record for part in missing.by_kind().values() for record in part]
        if records:
            store.append(history.prefix, records, timestamps.from_datetime(now), legacy_import.CAUSE)
    if as_json:
        print_text(
            dumps(
                {
                    "prefix": history.prefix,
                    "store": str(loaded.store),
                    "timezone": zone_used,
                    "had": present.counts(),
                    "added": missing.counts(),
                }
            )
        )
    elif records:
        print_text(
            f"{source}: {history_file.format_counts(missing.counts())} of {history.prefix} added to {loaded.store}"
        )
    else:
        counts = history_file.format_counts(present.counts())
        print_text(f"{source}: nothing to do, {loaded.store} has all of it: {counts} of {present.prefix}")


def _compare(store: HistoryStorage, history: ExportedHistory, source: Path) -> tuple[ExportedHistory, ExportedHistory]:
    """Return what a store has of a detector, and what it lacks of a history; raises `RefusedError` if they differ."""
    stored = {kind: store.records(history.prefix, kind) for kind in KINDS}
    present = ExportedHistory.of(history.prefix, history.exported, stored)
    try:
        return present, history_file.new_records(present, history)
    except RefusedError as error:
        raise RefusedError(f"{source}: {error}; {store.path} stays as it is") from None


def _is_export(source: Path) -> bool:
    """Return whether the source is a history file; the other sources are a folder, or a file known by its suffix."""
    return not (source.is_dir() or source.suffix.lower() == ".poni" or _is_autosave(source))


def _is_autosave(source: Path) -> bool:
    """Return whether the name is one of autosave, whose copies are called .sav0, .savB, .sav_260101-120000 too."""
    return ".sav" in source.name.lower() and not source.is_dir()


def _detector_prefix(prefix: str | None, prefixes: list[str], config: Path) -> str:
    if prefix is None and len(prefixes) > 1:
        raise ConfigError(f"{config} has several detectors: select one with --prefix, of {' '.join(prefixes)}")
    if prefix is not None and prefix not in prefixes:
        raise ConfigError(f"--prefix {prefix} is no detector of {config}: expected one of {' '.join(prefixes)}")
    return prefix or prefixes[0]


def _zone(name: str | None) -> tuple[tzinfo | None, str]:
    """Return a time zone with its name; that of this host, None, if no name is given."""
    if name is None:
        return None, local_zone_name()
    try:
        return ZoneInfo(name), name
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ConfigError(f"--timezone {name} is unknown: expected such as America/New_York, or UTC") from None


def _read_ponis(source: Path, skip: bool, options: ImportOptions) -> list[LegacyCalibration]:
    """Read a PONI file, or each in a folder; unreadable files are reported together, or skipped with a message."""
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() == ".poni" and path.is_file())
    if not files:
        raise ConfigError(f"{source}: there is no *.poni in this folder")
    records: list[LegacyCalibration] = []
    problems: list[str] = []
    for file in files:
        try:
            records += legacy_import.read_poni(file.name, _read_bytes(file), file.stat().st_mtime, options)
        except (PoniError, GeometryError) as error:
            problems += [f"{file.name}: {problem}{wavelength_hint(problem)}" for problem in error.problems]
    if problems and not (skip and records):
        raise HistoryError(
            [*problems, "nothing was imported: correct these files, or skip them with --skip-unreadable"]
        )
    for problem in problems:
        print_text(f"skipped: {problem}")
    return records


def _read_autosave(source: Path, prefix: str, options: ImportOptions) -> list[LegacyCalibration]:
    text = _read_bytes(source).decode("utf-8", "replace")
    return [legacy_import.read_autosave(source.name, text, source.stat().st_mtime, prefix, options)]


def _unread_time(calibration: LegacyCalibration) -> str:
    dated = timestamps.from_datetime(calibration.time)
    return (
        f"{calibration.source}: the time {to_ascii(calibration.unread_time)} cannot be read: the time of the file is "
        f"taken, {dated}; expected such as Fri Feb 27 13:52:42 2015, or 2015-02-27T13:52:42"
    )


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected a file that can be read") from error
