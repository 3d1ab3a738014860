"""The command that renames the history of a detector: it gets another PV prefix."""

import contextlib
import getpass
import socket
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, load_config, print_text
from ponikeeper.errors import ConfigError
from ponikeeper.history import RenameRecord
from ponikeeper.store.histories import require_renamable
from ponikeeper.store.opening import open_storage
from ponikeeper.text import timestamps
from ponikeeper.text.ascii import to_ascii
from ponikeeper.text.strictjson import dumps


def rename(
    config: Annotated[Path, typer.Argument(help="the configuration (TOML), which has the new prefix already")],
    old: Annotated[str, typer.Argument(help="PV prefix that the history has")],
    new: Annotated[str, typer.Argument(help="PV prefix that it is to have")],
    as_json: AsJson = False,
) -> None:
    """Rename the history of a detector: ponikeeper rename /etc/ponikeeper/28id1.toml 'OLD:' 'NEW:'.

    Stop the IOC before. The new prefix is added to the history and nothing else changes: numbers, uids, serials and
    checksums stay, and what runs recorded by the old prefix is found as before.
    """
    loaded = load_config(config)
    prefixes = [detector.prefix for detector in loaded.detector]
    if old in prefixes:
        raise ConfigError(f"{config} still has the prefix {old}: write {new} there first")
    if new not in prefixes:
        raise ConfigError(f"{config} has no detector with the prefix {new}: expected one of {' '.join(prefixes)}")
    now = timestamps.from_datetime(timestamps.now())
    with contextlib.closing(open_storage(loaded.store)) as store:
        history = require_renamable(store.histories(), old, new)
        author = to_ascii(f"{getpass.getuser()}@{socket.gethostname()}")
        record = store.add(history.prefix, RenameRecord(0, old, new, now, author))
    if as_json:
        print_text(dumps(record.as_dict()))
        return
    count = history.revisions
    print_text(f"{new}: the history of {old}, {count} revision{'s' * (count != 1)}, the newest {history.newest[:19]}Z")
