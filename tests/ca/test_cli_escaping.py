"""What people typed at any IOC never controls the terminal of those who read it, in any command or page."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ponikeeper.history import Correction, ServiceChange
from ponikeeper.history.record_form import checksum
from recalling import history, iso
from stores import store_history

LINE = "<b>eve\x7f\x9b31m \u202egnp.\u2066 \u200b\U0001f600</b>"
"""Without the control characters that no record accepts: DEL, C1, marks of direction and without width."""

PROSE = f"\x1b[2J\x1b]0;title\x07wrong\rright {LINE}"
"""With those that a comment could have, in a history that another program wrote."""

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def call(call_heavy):
    return call_heavy


@pytest.fixture(scope="module")
def ioc(make_ioc_for_module):
    """Serve a history in which every text that a person types is hostile."""
    ioc = make_ioc_for_module(detectors=("{Det:1}Calib:",), more={"{Det:1}Calib:": LINK})
    whole = history(3, prefix=ioc.prefix)

    def hostile(revision):
        provenance = {"method": "fit", "author": LINE, "comment": PROSE, "calibrant": LINE, "run": PROSE, "image": LINE}
        bare = replace(revision, provenance=provenance, label="near")
        return replace(bare, checksum=checksum(ioc.prefix, "revision", bare.row()))

    whole = replace(
        whole,
        revisions=tuple(hostile(revision) for revision in whole.revisions),
        activations=tuple(replace(activation, author=LINE) for activation in whole.activations),
        corrections=(Correction(1, "supersede", 3, 2, None, None, LINE, iso(1.79e9), LINE),),
        service=(ServiceChange(1, "out_of_service", "z", LINE, iso(1.79e9), LINE),),
    )
    store_history(ioc.store, whole)
    return ioc.start()


LINK = '[[detector.link]]\nname = "z"\npv = "NO:SUCH:PV"\nkind = "motor"\nunits = "mm"\ntolerance = 0.5\n'

COMMANDS = {
    "show": ("show", "P"),
    "get": ("get", "P"),
    "get as PONI": ("get", "P", "--revision", "2"),
    "history": ("history", "P"),
    "history as JSON": ("history", "P", "--json"),
    "diff": ("diff", "P", "1", "2"),
    "status": ("status", "P"),
    "status as JSON": ("status", "P", "--json"),
    "list": ("list", "CONFIG"),
    "clients": ("clients", "IOC"),
    "check": ("check", "CONFIG"),
    "health": ("health", "P"),
    "health for Prometheus": ("health", "P", "--prometheus"),
    "activate": ("activate", "P", "2"),
    "undo": ("undo", "P"),
    "label": ("label", "P", "far"),
    "supersede": ("supersede", "P", "2", "--by", "1", "--reason", "x"),
    "retract": ("retract", "P", "1", "--reason", "x"),
    "in-service": ("in-service", "P", "z"),
    "export history": ("export", "history", "P"),
    "export alarms": ("export", "alarms", "CONFIG", "-o", "FOLDER"),
    "affected": ("affected", "P", "9", "http://127.0.0.1:9"),
    "model show": ("model", "show", "P"),
}


def hidden(text):
    """Return the characters of a text that a terminal obeys or hides."""
    return {char for char in text if not char.isprintable() and char not in "\n\t"}


@pytest.mark.parametrize("name", COMMANDS)
def test_output_of_a_command_has_only_what_can_be_seen(name, ioc, call, tmp_path):
    names = {
        "P": ioc.prefix,
        "CONFIG": str(ioc.config),
        "IOC": f"{ioc.name}{{IOC}}",
        "FOLDER": str(tmp_path),
    }
    done = call(*(names.get(word, word) for word in COMMANDS[name]), TILED_RETRY_ATTEMPTS="1")
    assert "Usage:" not in done.stderr
    assert done.stdout + done.stderr
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert hidden(done.stdout + done.stderr + written) == set()


def test_hostile_texts_are_shown_escaped(ioc, call):
    shown = r"<b>eve\x7f\x9b31m \u202egnp.\u2066 \u200b"
    for command in ("show", "history", "get"):
        assert shown in call(command, ioc.prefix, COLUMNS="400").stdout
    assert r"# comment: \x1b[2J\x1b]0;title\x07wrong right" in call("get", ioc.prefix).stdout


def test_pages_show_hostile_texts_escaped(ioc, call, tmp_path):
    page = tmp_path / "page.html"
    assert call("report", ioc.prefix, "-o", str(page)).returncode == 0
    text = page.read_text()
    assert hidden(text) == set()
    assert "&lt;b&gt;eve\\x7f\\x9b31m \\u202egnp" in text


def test_only_the_terminal_module_writes_to_the_terminal():
    """A command that prints in another way would print what people typed as it is."""
    allowed = {"iocs/ponikeeper/system/terminal.py", "iocs/ponikeeper/system/systemd_journal.py"}
    ways = re.compile(r"(?<![\w.])(Console|typer\.echo|click\.echo|rich\.print)\(")
    found = [
        str(path.relative_to(ROOT))
        for part in ("iocs", "client")
        for path in (ROOT / part).rglob("*.py")
        if ways.search(path.read_text()) and str(path.relative_to(ROOT)) not in allowed
    ]
    assert found == []
