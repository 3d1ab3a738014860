"""The command that copies the store of an IOC, which may run meanwhile."""

import re
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, load_config, make_folder, print_text
from ponikeeper.cli.export import store_summary
from ponikeeper.text import timestamps
from ponikeeper.text.strictjson import dumps


def backup(
    config: Annotated[Path, typer.Argument(help="the configuration (TOML); its IOC may run")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder for the copy, preferably on another disk")],
    keep: Annotated[int, typer.Option(min=0, help="number of copies of this store to keep there; 0 keeps all")] = 0,
    as_json: AsJson = False,
) -> None:
    """Copy the whole history of an IOC and verify the copy: ponikeeper backup /etc/ponikeeper/28id1.toml -o /backup.

    To restore a copy, stop the IOC and replace its ponikeeper.sqlite with the copy.
    """
    store = load_config(config).store
    from ponikeeper.store.backup import copy

    target = output / f"{config.stem}.{timestamps.for_file_name(timestamps.now())}.sqlite"
    make_folder(output)
    contents = copy(store, target)
    for old in _superfluous(target, config.stem, keep):
        old.unlink()
    if as_json:
        print_text(dumps({"backup": str(target), "version": contents.version, "counts": contents.counts}))
    else:
        print_text(f"{target}: OK, {store_summary(contents)}")


def _superfluous(newest: Path, stem: str, keep: int) -> list[Path]:
    """Return the oldest copies of a store beyond the number to keep; their names sort by time.

    The newest copy is never among them: the clock may have been set back since the others were made.
    """
    ours = re.compile(re.escape(stem) + r"\.\d{8}T\d{6}\.\d{6}Z\.sqlite")
    others = sorted(path for path in newest.parent.iterdir() if ours.fullmatch(path.name) and path != newest)
    return others[: max(0, len(others) - keep + 1)] if keep else []
