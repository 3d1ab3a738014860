"""The commands of the IOC host: serve, check."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ponikeeper.cli.console import print_error, print_text, run_ca
from ponikeeper.errors import MissingExtraError
from ponikeeper.store.histories import first_prefix_of, unnamed, unnamed_text
from ponikeeper.store.outlook import outlook
from ponikeeper.system import systemd_journal
from ponikeeper.system.log_format import PrintableFormatter
from ponikeeper.system.log_level import VARIABLE, parse_level
from ponikeeper.system.log_limit import LogLimit
from ponikeeper.system.systemd_journal import Journal, JournalHandler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ponikeeper.ca.pva_part import MakePva
    from ponikeeper.config import Config
    from ponikeeper.store import StoredHistory

ConfigFile = Annotated[Path, typer.Argument(help="the configuration (TOML)")]


def serve(
    config: ConfigFile,
    log_level: Annotated[str, typer.Option(envvar=VARIABLE, help="DEBUG, INFO, WARNING or ERROR")] = "INFO",
    force: Annotated[bool, typer.Option("--force", help="serve even if another server answers for the prefix")] = False,
) -> None:
    """Run the IOC: ponikeeper serve /etc/ponikeeper/28id1.toml.

    It prints one line when it is ready: READY, with the ports and the numbers of PVs and detectors. SIGHUP reads the
    access rules again, SIGUSR1 sets the log level to DEBUG, SIGUSR2 sets it back.
    """
    level = parse_level(log_level)
    if systemd_journal.is_ours():
        handlers, form = [JournalHandler(Journal())], "%(message)s"
    else:
        handlers, form = [logging.StreamHandler(sys.stderr)], "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level, handlers=handlers)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PrintableFormatter(form))
        handler.addFilter(LogLimit())
    logging.getLogger("caproto").setLevel(max(level, logging.WARNING))
    try:
        from ponikeeper.ca.lean_import import import_caproto

        import_caproto()
        from ponikeeper.ca import service
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "caproto") from error
    loaded = load(config)
    service.run(loaded, lambda line: print(line, flush=True), force, _pva_part(loaded))  # noqa: T201  # a supervisor waits for this line


def check(
    config: ConfigFile,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="also read each linked PV, and each that is written: value, units and alarm"),
    ] = False,
    timeout: Annotated[float, typer.Option(help="with --connect: seconds to wait for PVs that do not answer")] = 10.0,
) -> None:
    """Check a configuration without serving it: ponikeeper check /etc/ponikeeper/28id1.toml --connect.

    It also looks into the store, which it does not change: whether it can be used, would be migrated to a newer schema,
    or has histories that the configuration does not name. The exit code is 4 if the IOC could not start with it.

    With --connect the exit code is 2 if a linked PV cannot be used as it is configured (other units, no number), 3 if
    one does not answer, 1 if one is in INVALID alarm.
    """
    try:
        from ponikeeper.access.loading import read_rules
        from ponikeeper.ca import service
        from ponikeeper.ca.server.context import shared_port_text
        from ponikeeper.ca.server.searches import is_port_shared
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pydantic") from error
    loaded = load(config)
    environment = service.environment_of(loaded)
    rules = read_rules(loaded)
    _pva_part(loaded)
    seeds = [service.seed(loaded, detector) for detector in loaded.detector]
    found = outlook(loaded.store)
    histories = found.histories or []
    revisions = [_revisions(histories, detector.prefix) for detector in loaded.detector]
    count = f"{len(loaded.detector)} detector{'s' * (len(loaded.detector) != 1)}"
    print_text(f"{config}: OK, {count}, store {loaded.store}, {rules}")
    print_text(f"  the store {found.text}")
    for history in unnamed(histories, [detector.prefix for detector in loaded.detector]):
        print_text(f"    warning: {unnamed_text(history, str(config))}")
    if not found.served and any(is_port_shared(address, environment.port) for address in environment.interfaces):
        print_text(f"    warning: {shared_port_text(environment.port)}")
    for detector, geometry, number in zip(loaded.detector, seeds, revisions, strict=True):
        seed = f", seed {detector.seed}" + (", which counts at the first start only" if number else "")
        links = f"{len(detector.link)} link{'s' * (len(detector.link) != 1)}"
        has = f", {number} revision{'s' * (number != 1)}" if found.histories is not None else ""
        print_text(f"  {detector.prefix}  {links}{has}{seed if geometry else ''}")
        if not detector.limits:
            print_text(
                "    warning: no limits: a value that only another detector can have is accepted, too: "
                "write [detector.limits] with such as dist = [0.1, 3.0]"
            )
    if connect:
        _check_links(loaded, timeout)


def _pva_part(loaded: "Config") -> "MakePva | None":
    """Import the part that serves PVAccess, if the configuration has it.

    Raises
    ------
    MissingExtraError
        p4p is not installed.
    """
    if not loaded.pva.enabled:
        return None
    try:
        from ponikeeper.pva.service import PvaService
    except ModuleNotFoundError as error:
        raise MissingExtraError("p4p") from error
    return PvaService


def _revisions(histories: "Sequence[StoredHistory]", prefix: str) -> int:
    """Return the number of revisions that a detector has; raises `StoreError` if its prefix cannot be served."""
    first = first_prefix_of(histories, prefix)
    return next((history.revisions for history in histories if history.prefix == first), 0)


def _check_links(loaded: "Config", timeout: float) -> None:
    """Read the linked PVs and print what they have; ends the command with the exit code of what is wrong."""
    from ponikeeper.ca.link_check import read_samples
    from ponikeeper.cli.link_report import exit_code, link_reports, push_reports

    links = [link for detector in loaded.detector for link in detector.link]
    targets = [target for detector in loaded.detector for target in detector.push_targets()]
    samples = run_ca(read_samples(links, timeout, targets))
    reports = [
        (
            detector,
            link_reports(detector.link, samples, timeout) + push_reports(detector.push_targets(), samples, timeout),
        )
        for detector in loaded.detector
    ]
    for detector, lines in reports:
        for report in lines:
            (print_error if report.code else print_text)(f"  {detector.prefix}  {report.text}")
    code = exit_code([report for _, lines in reports for report in lines])
    if code:
        raise typer.Exit(code)
