"""What the pages say of PVs and commands is what the IOC has: the contract, the server and the tables agree."""

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
from make_pv_table import BEGIN, END, README, written
from ponikeeper.access.rules import Right
from ponikeeper.ca import service
from ponikeeper.ca.group import Group
from ponikeeper.config import load
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import Linked
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS
from ponikeeper.store import History
from ponikeeper.store.writer import Store

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in (ROOT, *(ROOT / name for name in ("iocs", "client"))) for path in path.glob("README.md")
)
PAGES += sorted((ROOT / "deploy").rglob("README.md"))

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
        store = Store(History(config.store))
        found: dict[str, Any] = {}
        for detector in config.detector:
            links = Linked(detector.link, detector.settle)
            found |= Group(detector, Keeper(detector.prefix, store, detector.limits, links), links, store).pvdb
        own = await service._ioc_channels(store)
        found |= {config.ioc.prefix + suffix: channel for suffix, channel in own.items()}
        store.close()
        return found

    return asyncio.run(make())


def listed() -> list[list[tuple[bool, str]]]:
    """Read the tables of iocs/README.md: for each, whether a PV is bold, and its suffix."""
    text = README.read_text(encoding="ascii").partition(BEGIN)[2].partition(END)[0]
    tables = text.split("| --- | --- | --- | --- |\n")[1:]
    cells = [[row.split("|")[1] for row in table.splitlines() if row.startswith("|")] for table in tables]
    return [
        [(bool(bold), name) for cell in column for bold, name in re.findall(r"(\*\*)?`([^`]+)`", cell)]
        for column in cells
    ]


def test_ioc_serves_the_pvs_of_the_contract(pvdb):
    expected = {prefix + pv.suffix for prefix in ("D{1}:", "D{2}:") for pv in DETECTOR_PVS}
    assert set(pvdb) == expected | {"I{OC}" + pv.suffix for pv in IOC_PVS}


@pytest.mark.parametrize("page", ["README.md", "iocs/ponikeeper/cli/serve.py"])
def test_ready_line_that_a_page_shows_is_that_of_today(page):
    (shown,) = re.findall(r"pvs=(\d+) detectors=2", (ROOT / page).read_text(encoding="utf-8"))
    assert int(shown) == 2 * len(DETECTOR_PVS) + len(IOC_PVS)


def test_page_lists_the_pvs_of_the_contract():
    detector, ioc = listed()
    assert sorted(name for _, name in detector if name != "PV") == sorted(pv.suffix for pv in DETECTOR_PVS)
    assert sorted(name for _, name in ioc) == sorted(pv.suffix for pv in IOC_PVS)


def test_pvs_that_the_page_has_in_bold_are_those_that_take_puts(pvdb):
    bold = {"D{1}:" + name for writable, name in listed()[0] if writable}
    rights = {name: channel.offer(Right.WRITE) for name, channel in pvdb.items() if name.startswith("D{1}:")}
    assert bold == {name for name, right in rights.items() if right & AccessRights.WRITE}
    assert not any(writable for writable, _ in listed()[1])


def test_table_is_made_from_the_contract():
    text = README.read_text(encoding="ascii")
    assert written(text) == text, "python tests/support/make_pv_table.py writes it anew"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pvs_that_a_page_names_are_in_the_contract(page):
    named = set(re.findall(r"Calib:([A-Za-z0-9:]+(?:_RBV)?)", page.read_text(encoding="utf-8")))
    assert named <= {pv.suffix for pv in DETECTOR_PVS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("folder", ["iocs/ponikeeper", "client/ponikeeper_client"])
def test_page_names_every_module(folder):
    package = ROOT / folder
    modules = {path.stem for path in package.glob("*.py") if not path.name.startswith("_")}
    modules |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    table = [line for line in (package.parent / "README.md").read_text().splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`([\w/]+)`", "\n".join(table)))
    assert modules <= named


@pytest.fixture(scope="module")
def command():
    """The command line with all its verbs."""
    import typer.main

    from ponikeeper.cli.app import app
    from ponikeeper_client.cli import add_commands

    add_commands(app)
    return typer.main.get_command(app)


def test_commands_that_the_pages_name_exist(command):
    blocks = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)]
    named = set(re.findall(r"\bponikeeper ([a-z-]*[a-z])", "\n".join(blocks)))
    assert named
    assert named <= set(command.commands)


def verbs(command, *words):
    """Give the words and the help of each command."""
    if not hasattr(command, "commands"):
        yield " ".join(words), command.help
        return
    for name, each in command.commands.items():
        yield from verbs(each, *words, name)


def test_help_of_every_verb_has_an_example(command):
    helps = dict(verbs(command))
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


def test_lines_of_ophyd_async_make_a_detector():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "client/README.md").read_text(), flags=re.DOTALL)
    (block,) = (block for block in blocks if "AsyncCalibrationMixin" in block)
    code = (
        "from ophyd_async.core import StandardReadable\n"
        "class YourStandardDetector(StandardReadable):\n"
        "    def __init__(self, prefix, name):\n"
        "        super().__init__(name)\n"
        f"{block}\n"
        "detector = Detector('XF:28ID1-ES{Det:PE1}', name='pe1')\n"
        "print(detector.calib.prefix, detector.calib.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=live.TIMEOUT)
    assert done.stdout.split() == ["XF:28ID1-ES{Det:PE1}Calib:", "pe1-calib"], done.stderr


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
