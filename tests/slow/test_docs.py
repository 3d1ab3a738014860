"""The PVs and commands in the pages are those of the IOC: contract, server and tables agree."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from caproto import AccessRights

import live
import make_references
from make_references import command_tree, verbs
from pages import PAGES, page_id
from ponikeeper.access.rules import Right
from ponikeeper.ca import service
from ponikeeper.ca.detector_pvs import DetectorPVs
from ponikeeper.config import load
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.protocol.geometry_structure import NAME as GEOMETRY
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS
from ponikeeper.protocol.status import PRECEDENCE, SEVERITIES, Status
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread

ROOT = Path(__file__).parents[2]
PV_PAGE = ROOT / "iocs/docs/pvs.md"

CONFIG = (
    '[ioc]\nprefix = "I{OC}"\nstate_dir = "state"\n[[detector]]\nprefix = "D{1}:"\n[[detector]]\nprefix = "D{2}:"\n'
)


@pytest.fixture(scope="module")
def pvdb(tmp_path_factory) -> dict[str, Any]:
    """Make the PVs of a whole configuration, without a socket."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "docs.toml").write_text(CONFIG)
    config = load(folder / "docs.toml")

    async def make() -> dict[str, Any]:
        store = StoreThread(SQLiteStorage(config.store))
        found: dict[str, Any] = {}
        for detector in config.detector:
            links = LinkStates(detector.link, detector.settle)
            found |= DetectorPVs(detector, Keeper(detector.prefix, store, detector.limits, links), links, store).pvdb
        own = await service._ioc_channels(store)
        found |= {config.ioc.prefix + suffix: channel for suffix, channel in own.items()}
        store.close()
        return found

    return asyncio.run(make())


def listed() -> list[list[tuple[bool, str]]]:
    """Read the tables of PVs: for each, whether a PV is bold, and its suffix."""
    text = PV_PAGE.read_text(encoding="utf-8")
    tables = [table.partition("\n\n")[0] for table in text.split("| PV | type | unit | description |\n")[1:]]
    cells = [[row.split("|")[1] for row in table.splitlines() if row.startswith("|")] for table in tables]
    return [
        [(bool(bold), name) for cell in column for bold, name in re.findall(r"(\*\*)?`([^`]+)`", cell)]
        for column in cells
    ]


def test_ioc_serves_the_pvs_of_the_contract(pvdb):
    expected = {prefix + pv.suffix for prefix in ("D{1}:", "D{2}:") for pv in DETECTOR_PVS}
    assert set(pvdb) == expected | {"I{OC}" + pv.suffix for pv in IOC_PVS}


def test_page_lists_the_pvs_of_the_contract():
    detector, ioc = listed()
    assert sorted(name for _, name in detector) == sorted(pv.suffix for pv in DETECTOR_PVS)
    assert sorted(name for _, name in ioc) == sorted(pv.suffix for pv in IOC_PVS)


def test_pvs_in_bold_are_the_writable_ones(pvdb):
    bold = {"D{1}:" + name for writable, name in listed()[0] if writable}
    rights = {name: channel.access_rights(Right.WRITE) for name, channel in pvdb.items() if name.startswith("D{1}:")}
    assert bold == {name for name, right in rights.items() if right & AccessRights.WRITE}
    assert not any(writable for writable, _ in listed()[1])


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pvs_that_a_page_names_are_in_the_contract(page):
    named = set(re.findall(r"Calib:([A-Za-z0-9:]+(?:_RBV)?)", page.read_text(encoding="utf-8")))
    assert named <= {pv.suffix for pv in DETECTOR_PVS} | {GEOMETRY}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_link_targets_of_a_page_exist(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" not in link:
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page):
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in make_references.PAGES], ids=page_id)
def test_page_is_in_plain_english(page):
    """Generated pages have the words of the code."""
    text = page.read_text(encoding="utf-8")
    assert (
        re.findall(r"(?i)\b(?:in force|nobody|whoever|anew|somebody|what is told|beside|as ever|no more)\b", text) == []
    )


def test_status_page_has_the_statuses_in_their_order_with_their_severities():
    text = (ROOT / "iocs/docs/status.md").read_text(encoding="utf-8").partition("## Where a status shows")[0]
    rows = re.findall(r"^\| ([A-Z_]+) \| (\w+) \|", text, flags=re.MULTILINE)
    severities = {"none": 0, "MINOR": 1, "MAJOR": 2, "INVALID": 3}
    assert [name for name, _ in rows] == [status.name for status in PRECEDENCE]
    assert {name: severities[word] for name, word in rows} == {status.name: SEVERITIES[status] for status in Status}


def test_status_page_has_each_status_once_where_a_status_shows():
    text = (ROOT / "iocs/docs/status.md").read_text(encoding="utf-8").partition("## Where a status shows")[2]
    cells = re.findall(r"^\| ([A-Z_]+(?:, [A-Z_]+)*) \|", text, flags=re.MULTILINE)
    assert sorted(name for cell in cells for name in cell.split(", ")) == sorted(Status.__members__)


@pytest.mark.parametrize("page", ["iocs/docs/glossary.md", "client/docs/tutorial-scientist.md"])
def test_page_explains_every_status(page):
    cells = re.findall(r"^\| ([A-Z_]+(?:, [A-Z_]+)*) \|", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    rows = [name for cell in cells for name in cell.split(", ")]
    assert set(Status.__members__) <= set(rows)
    assert len(rows) == len(set(rows))


def test_files_that_the_contributing_page_names_exist():
    text = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:iocs|client|tests|ponikeeper_client)/[\w/.]+)`", text)
    assert len(named) > 15
    assert [name for name in named if not any((ROOT / folder / name).exists() for folder in (".", "client"))] == []


@pytest.mark.parametrize("folder", ["iocs/ponikeeper", "client/ponikeeper_client"])
def test_page_names_every_module(folder):
    package = ROOT / folder
    modules = {path.stem for path in package.glob("*.py") if not path.name.startswith("_")}
    modules |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    section = (ROOT / ".github/CONTRIBUTING.md").read_text().partition(f"### `{folder}`")[2].partition("\n#")[0]
    assert set(re.findall(r"^\| `([\w/]+)` \|", section, flags=re.MULTILINE)) == modules


@pytest.fixture(scope="module")
def command():
    """The command line with all its verbs."""
    return command_tree()


def test_commands_that_the_text_of_a_page_names_exist(command):
    """Commands in code blocks are run, or parsed with their options, by test_pages.py."""
    named = {words for page in PAGES for words in re.findall(r"`ponikeeper ([a-z][a-z-]*[a-z])\b", page.read_text())}
    assert len(named) > 10
    assert named <= set(command.commands)


def test_help_of_every_verb_has_an_example(command):
    helps = {words: each.help for words, each in verbs(command).items()}
    assert len(helps) > 20
    assert [verb for verb, text in helps.items() if f"ponikeeper {verb}" not in " ".join(text.split())] == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("inst", "install-unit"), ("export al", "alarms"), ("status --wa", "--wait")]
)
def test_verbs_and_options_are_completed(typed, meant):
    words = f"ponikeeper {typed}"
    environment = {
        **os.environ,
        "_PONIKEEPER_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    program = Path(sys.executable).parent / "ponikeeper"
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [meant]


def test_names_that_the_pages_import_exist():
    named = {
        line
        for page in PAGES
        for line in re.findall(r"\bfrom ponikeeper[\w.]* import \w+", page.read_text(encoding="utf-8"))
    }
    code = "\n".join(sorted(named))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=live.TIMEOUT)
    assert named
    assert (done.returncode, done.stderr) == (0, "")
