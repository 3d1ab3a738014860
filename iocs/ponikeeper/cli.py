"""The command line: serve and check on the IOC host, and from any host over Channel Access the rest.

Exit codes: 0 done, 1 refused, a status that is not VALID (or not the one waited for), a fit that
cannot be stood for, or a history that is not what was written, 2 usage or configuration, 3 no
connection, 4 store.
"""

import logging
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper import (
    __version__,
    backup,
    exporting,
    importing,
    installing,
    journal,
    judging,
    poni,
    surroundings,
    tables,
    watching,
)
from ponikeeper.console import AsJson, Prefix, ask, client, emit, out, over_ca, revisions, tell
from ponikeeper.errors import (
    ConfigError,
    FitError,
    HistoryError,
    MissingExtraError,
    NotConnectedError,
    PonikeeperError,
    ProblemsError,
    RefusedError,
    StoreError,
)
from ponikeeper.journal import Journal, JournalHandler
from ponikeeper.listing import listed
from ponikeeper.messages import Commit
from ponikeeper.parameters import NAMES, PARAMETERS, parse_number
from ponikeeper.strictjson import dumps, loads
from ponikeeper.tree import history_tree, room

app = typer.Typer(
    help="Keeps the calibrated geometry of area detectors: the IOC, and its clients on any host.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
ConfigFile = Annotated[Path, typer.Argument(help="the configuration (TOML)")]


def run() -> None:
    """Run the command line with the commands of every installed part, and end with its exit code."""
    for entry in entry_points(group="ponikeeper.commands"):
        entry.load()(app)
    try:
        app()
    except BrokenPipeError:  # who read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PonikeeperError as error:
        lines = error.problems if isinstance(error, ProblemsError) else (str(error),)
        for line in lines:
            tell(line)
        sys.exit(exit_code(error))


def exit_code(error: PonikeeperError) -> int:
    """Give the exit code that stands for an error."""
    if isinstance(error, NotConnectedError):
        return 3
    if isinstance(error, StoreError):
        return 4
    return 1 if isinstance(error, RefusedError | FitError | HistoryError) else 2


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit


@app.command()
def serve(
    config: ConfigFile,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR")] = "INFO",
    force: Annotated[bool, typer.Option("--force", help="although another server answers for the prefix")] = False,
) -> None:
    """Run the IOC: ponikeeper serve /etc/ponikeeper/28id1.toml.

    Prints one line when it answers: READY port=5064 pvs=184 detectors=2.
    """
    level = getattr(logging, log_level.upper(), None)
    if not isinstance(level, int):
        raise ConfigError(f"--log-level {log_level} is unknown: expected DEBUG, INFO, WARNING or ERROR")
    if journal.is_ours():
        logging.basicConfig(level=level, handlers=[JournalHandler(Journal())], format="%(message)s")
    else:
        logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("caproto").setLevel(max(level, logging.WARNING))
    try:
        from ponikeeper.ca import service
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError("ioc", error.name or "caproto") from error
    service.run(load(config), lambda line: print(line, flush=True), force)  # noqa: T201  # what a supervisor waits for


@app.command()
def check(config: ConfigFile) -> None:
    """Check a configuration without serving it: ponikeeper check /etc/ponikeeper/28id1.toml."""
    try:
        from ponikeeper.ca import service
        from ponikeeper.ca.access import read_rules
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError("ioc", error.name or "pydantic") from error
    loaded = load(config)
    rules = read_rules(loaded)
    seeds = [service.seed(loaded, detector) for detector in loaded.detector]
    store = loaded.store
    count = f"{len(loaded.detector)} detector{'s' * (len(loaded.detector) != 1)}"
    emit(f"{config}: OK, {count}, store {store}, {rules}")
    for detector, geometry in zip(loaded.detector, seeds, strict=True):
        seed = f", seed {detector.seed}" if geometry else ""
        emit(f"  {detector.prefix}  {len(detector.link)} links{seed}")


@app.command()
def get(
    prefix: Prefix,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file to write instead of stdout")] = None,
    as_json: AsJson = False,
) -> None:
    """Get the geometry in force as a PONI: ponikeeper get 'XF:28ID1-ES{Det:PE1}Calib:' -o pe1.poni."""
    snapshot = over_ca(client().read_snapshot(prefix))
    if snapshot.geometry is None:
        raise RefusedError(f"{prefix} is UNSET: {snapshot.reason}")
    text = snapshot.as_json() + "\n" if as_json else poni.write(snapshot.geometry)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, encoding="ascii")
        except OSError as error:
            raise ConfigError(f"{output}: {error.strerror}: expected a file that can be written") from error


@app.command()
def put(
    prefix: Prefix,
    file: Annotated[Path, typer.Argument(help="the PONI file")],
    label: Annotated[str | None, typer.Option(help="name of the revision, such as near")] = None,
    comment: Annotated[str | None, typer.Option(help="what the next person should know")] = None,
    calibrant: Annotated[str | None, typer.Option(help="the powder standard, such as Ni")] = None,
    here: Annotated[bool, typer.Option("--here", help="the geometry holds where the links stand now")] = False,
    expect_revision: Annotated[int | None, typer.Option(help="refuse if another revision is in force")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a PONI in force: ponikeeper put 'XF:28ID1-ES{Det:PE1}Calib:' near.poni --label near --calibrant Ni."""
    try:
        geometry = poni.read(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected a PONI file") from error
    except ProblemsError as error:
        raise ConfigError(f"{file}: {problem}" for problem in error.problems) from None
    provenance: dict[str, object] = {"method": "poni"}
    provenance |= {key: value for key, value in (("comment", comment), ("calibrant", calibrant)) if value}
    position = "now" if here else "unknown"
    _commit(prefix, Commit(geometry.as_dict(), provenance, label, position, expect_revision), as_json)


@app.command(name="set")
def set_(
    prefix: Prefix,
    values: Annotated[list[str], typer.Argument(help="name=value, SI units, such as dist=0.2345 rot1=0.001")],
    comment: Annotated[str | None, typer.Option(help="what the next person should know")] = None,
    as_json: AsJson = False,
) -> None:
    """Change values of the geometry in force, as one: ponikeeper set 'XF:28ID1-ES{Det:PE1}Calib:' dist=0.2345."""
    pairs = [_assignment(value) for value in values]
    geometry = dict(pairs)
    if len(geometry) < len(pairs):
        raise ConfigError("a name stands twice: give each value once")
    snapshot = over_ca(client().read_snapshot(prefix))
    provenance: dict[str, object] = {"method": "manual"}
    if snapshot.revision:
        provenance["derived_from"] = snapshot.revision
    if comment:
        provenance["comment"] = comment
    _commit(prefix, Commit(geometry, provenance, snapshot.label, "now", snapshot.revision), as_json)


@app.command()
def show(prefix: Prefix, as_json: AsJson = False) -> None:
    """Show all that is in force: ponikeeper show 'XF:28ID1-ES{Det:PE1}Calib:'."""
    snapshot = over_ca(client().read_snapshot(prefix))
    if as_json:
        emit(snapshot.as_json())
    else:
        out.print(tables.snapshot_table(snapshot))


@app.command()
def history(
    prefix: Prefix,
    around: Annotated[int, typer.Option(help="the revision to look around; 0 is the one in force")] = 0,
    tree: Annotated[bool, typer.Option("--tree", help="show what superseded what, and why")] = False,
    as_json: AsJson = False,
) -> None:
    """List the revisions, newest first: ponikeeper history 'XF:28ID1-ES{Det:PE1}Calib:' --tree."""
    found, judgements, in_force = over_ca(revisions().read_around(prefix, around))
    rows = [listed(revision, judgements) for revision in reversed(found)]
    if as_json:
        emit(dumps({"v": 1, "revisions": rows}))
    elif tree:
        told = {
            revision.number: [item.as_dict() for item in judgements if item.revision == revision.number]
            for revision in found
        }
        shown = history_tree(prefix, rows, told, in_force)
        out.width = max(out.width, room(shown))
        out.print(shown)
    else:
        out.print(tables.history_table(prefix, rows))


@app.command()
def diff(prefix: Prefix, first: int, second: int, as_json: AsJson = False) -> None:
    """Compare two revisions: ponikeeper diff 'XF:28ID1-ES{Det:PE1}Calib:' 12 13."""
    one, other = (revision.as_dict() for revision in over_ca(revisions().read_revisions(prefix, first, second)))
    if as_json:
        emit(dumps([one, other]))
    else:
        out.print(tables.diff_table(prefix, one, other))


for command in (judging.activate, judging.here, judging.follow, judging.supersede, judging.retract):
    app.command()(command)
for command in (watching.status, watching.watch):
    app.command()(command)
for command in (surroundings.alarms, surroundings.archiver, surroundings.pvlist, surroundings.screens):
    exporting.export.command()(command)
app.add_typer(exporting.export, name="export")
app.command()(exporting.verify)
app.command()(backup.backup)
app.command(name="install-unit")(installing.install_unit)
app.command(name="import")(importing.import_)


def _commit(prefix: str, commit: Commit, as_json: bool) -> None:
    """Commit a geometry, and print what became of it."""
    result = ask(prefix, commit)
    emit(dumps(result.as_dict()) if as_json else tables.in_force_line(prefix, result))


def _assignment(text: str) -> tuple[str, object]:
    """Read one name=value.

    Raises
    ------
    ConfigError
        It is none, or the value is no number.
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
