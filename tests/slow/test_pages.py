"""Every code block of every page and notebook runs: on an IOC, a bluesky session and a Tiled server of this test's.

A page runs from top to bottom, with one namespace and one folder, on a detector of its own. Python is executed; the
commands `ponikeeper` and `caput` are run; other programs, and the other languages, have a rule in `page_rules`. A block
``text`` is what the block before it printed; ``...`` in it stands for anything.
"""

import contextlib
import doctest
import io
import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import catalogs as catalogs_of
import page_rules
import page_session
from live import wait_for
from make_references import command_tree
from pages import NOTEBOOKS, PAGES, blocks, page_id
from ponikeeper.protocol import parse_links

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of libraries; a page is not about them
]

RUNNING = [page for page in (*PAGES, *NOTEBOOKS) if {"python", "sh"} & {block.language for block in blocks(page)}]
PARSED_ONLY = {"deploy/README.md": "a campaign runs it word for word: tests/campaigns/test_bare_host.py"}
HAS_P4P = find_spec("p4p") is not None
_PREFIX = "XF:28ID1-ES{Det:PE1}Calib:"
_NEAR = ("put", _PREFIX, "near.poni", "--label", "near", "--here")
_FAR = ("put", _PREFIX, "far.poni", "--label", "far", "--here")
BEFORE = {
    "README.md": [_NEAR, _FAR] * 6,
    "client/docs/howto/affected-runs.md": [_NEAR],
    "client/docs/howto/drift.md": [_NEAR, ("set", _PREFIX, "dist=0.23452")],
    "client/docs/howto/history-without-the-ioc.md": [_NEAR],
    "client/docs/howto/mirror.md": [_NEAR],
    "iocs/docs/howto/correct-a-revision.md": [_NEAR, ("set", _PREFIX, "wavelength=1.665e-11")],
    "iocs/docs/howto/monitor.md": [_NEAR],
    "iocs/docs/howto/several-iocs.md": [_NEAR],
    "iocs/docs/howto/upgrade.md": [_NEAR],
    "iocs/docs/areadetector.md": [_NEAR],
    "iocs/docs/pvaccess.md": [_NEAR],
    "iocs/docs/howto/link-a-pv.md": [("put", _PREFIX, "near.poni", "--label", "near")],
    "iocs/docs/howto/move-to-another-host.md": [_NEAR],
    "iocs/docs/howto/old-revisions.md": [_NEAR, _FAR],
}
"""What a page finds in the history, as the commands that made it; the history of the other pages is empty."""

DETECTORS = tuple(f"{{Det:{number}}}Calib:" for number in range(len(RUNNING)))


@pytest.fixture(scope="module")
def site(make_ioc_for_module, motors, tmp_path_factory):
    """Serve the PVs of the example configuration: an IOC of one detector for each page, and the linked PVs."""
    links = "".join(
        [
            motors.link("z", "Z:RBV", moving="Z:MOVN"),
            motors.link("energy", "Energy", kind="energy", units="keV", tolerance=1e-4),
            motors.link("binning", "BinX", kind="equal"),
        ]
    )
    ioc = make_ioc_for_module(
        detectors=DETECTORS, more=dict.fromkeys(DETECTORS, f"settle = 0.5\n{links}"), other_ports=(motors.port,),
        pva=HAS_P4P,
    )  # fmt: skip
    return Site(ioc.start(), motors, tmp_path_factory)


class Site:
    """The beamline of the pages.

    Parameters
    ----------
    ioc, motors
        What serves the detectors' PVs and the linked PVs.
    """

    def __init__(self, ioc, motors, folders):
        self.ioc, self.motors, self._folders = ioc, motors, folders
        self._open = contextlib.ExitStack()
        self._tiled = None

    def names(self, number, folder):
        """Return the replacement of each name in the pages, longest first."""
        links = {
            "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.RBV": self.motors.pv("Z:RBV"),
            "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.MOVN": self.motors.pv("Z:MOVN"),
            "XF:28ID1-OP{Mono}Energy-I": self.motors.pv("Energy"),
            "XF:28ID1-ES{Det:PE1}cam1:BinX_RBV": self.motors.pv("BinX"),
        }
        return {
            **links,
            "XF:28ID1-ES{Det:PE1}": f"{self.ioc.name}{{Det:{number}}}",
            "XF:28ID1-CT{IOC:Calib}": f"{self.ioc.name}{{IOC}}",
            "/etc/ponikeeper/28id1.toml": str(folder / "28id1.toml"),
        }

    def tiled(self):
        """Start Tiled when the first page needs it."""
        if self._tiled is None:
            self._tiled = self._open.enter_context(catalogs_of.serving(self._folders.mktemp("tiled")))
        return self._tiled

    def close(self):
        self._open.close()


@pytest.fixture(scope="module", autouse=True)
def _closing(site):
    yield
    site.close()


@pytest.fixture(scope="module")
def tree():
    return command_tree()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_block_has_a_rule(page, tmp_path, tree):
    for block in blocks(page):
        if block.language in ("python", "sh"):
            continue
        if block.language == "text":
            assert page in RUNNING, f"{block.where}: there is no block before it whose output this is"
            continue
        rule = page_rules.STATIC.get(block.language)
        assert rule, f"{block.where}: no rule for a block of {block.language or 'no language'}"
        try:
            rule(block, tmp_path, tree)
        except Exception as error:
            raise AssertionError(f"{block.where}: {error}") from error


@pytest.mark.parametrize("page", RUNNING, ids=page_id)
def test_page_runs_from_top_to_bottom(page, site, call_heavy, tree, tmp_path, monkeypatch):
    if page_id(page) == "iocs/docs/pvaccess.md" and not HAS_P4P:
        pytest.skip("p4p is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPICS_PVA_NAME_SERVERS", f"127.0.0.1:{site.ioc.pva_port}")
    session = Session(page, site, call_heavy, tree, tmp_path)
    try:
        for block in blocks(page):
            session.run(block)
    finally:
        session.close()


class Session:
    """One page that runs: its namespace, its folder, and what it printed last."""

    def __init__(self, page, site, call, tree, folder):
        self.page, self.site, self.folder, self._call, self._tree = page, site, folder, call, tree
        self.names = site.names(RUNNING.index(page), folder)
        self.printed = ""
        self.namespace = None
        served = site.ioc.config.read_text()
        state_dir = f'state_dir = "{site.ioc.state_dir}"\n'
        assert state_dir in served
        (folder / "28id1.toml").write_text(served.replace(state_dir, ""))  # the pages' configurations have none
        page_session.write_files(folder)
        wait_for(self._reset, what="the linked PVs")
        wait_for(self._rests, what="links at rest")
        for words in BEFORE.get(page_id(page), []):
            self._ponikeeper("", list(words))
        if page_id(page) == "iocs/docs/areadetector.md":
            prefix = self._here(_PREFIX)
            page_session.write_image_file(folder, prefix, lambda: self._ponikeeper("", list(_FAR)))

    def _reset(self):
        """Move the linked PVs to the start values of every page."""
        values = {"Z:RBV": PLACE, "Z:MOVN": 0, "Energy": ENERGY, "BinX": 1}
        return all(_caput(self.site.motors.pv(name), value) for name, value in values.items())

    def _rests(self):
        """Whether the IOC reports every link at rest at its start value."""
        import epics

        links = parse_links(epics.caget(self._here("XF:28ID1-ES{Det:PE1}Calib:Links_RBV"), as_string=True, timeout=20))
        return all(link.connected and link.moving is False for link in links) and links[0].value == PLACE

    def run(self, block):
        """Run one block; an error names the page and the line."""
        try:
            if block.language == "python":
                self.printed = self._python(block)
            elif block.language == "sh":
                self.printed = self._shell(block)
            elif block.language == "text":
                self._compare(block)
        except Exception as error:
            raise AssertionError(f"{block.where}: {type(error).__name__}: {error}") from error

    def _here(self, text):
        for name, stands_for in self.names.items():
            text = text.replace(name, stands_for)
        return text

    def _there(self, text):
        for name, stands_for in self.names.items():
            text = text.replace(stands_for, name)
        return text

    def _python(self, block):
        if self.namespace is None:
            self.namespace = page_session.namespace(self._here, self.site, self.folder, self.page)
        code = compile("\n" * (block.line - 1) + self._here(block.text), str(self.page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
            exec(code, self.namespace)  # what the page says is what a reader types
        return self._there(out.getvalue())

    def _shell(self, block):
        printed = []
        for line, command in page_rules.statements(block):
            try:
                printed.append(self._statement(command) or "")
            except Exception as error:
                raise AssertionError(f"line {line}: {command}: {error}") from error
        return "".join(printed)

    def _statement(self, command):
        if page_id(self.page) in PARSED_ONLY or any(
            sign in command.partition(" #")[0] for sign in ("$(", "; do", " && ")
        ):
            return self._parse_only(command)
        words, environment = page_rules.words(command), {}
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, environment[name] = words.pop(0).partition("=")
        program, rest = words[0], words[1:]
        if program == "ponikeeper":
            return self._ponikeeper(command, rest, environment)
        if program in ("caput", "caget"):
            return self._caput(program, [self._here(word) for word in rest])
        page_rules.check_program(command, words)
        return ""

    def _parse_only(self, command):
        """Parse each command of a compound line."""
        for part in re.split(r" && |; do |; done", re.sub(r"=\$\(.*\)$", "=", command)):
            words = page_rules.words(part)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if not words or words[0] == "for":
                continue
            if Path(words[0]).name != "ponikeeper":
                page_rules.check_program(part, words)
            elif "$what" not in words:
                page_rules.parse_ponikeeper(self._tree, words[1:])
        return ""

    def _ponikeeper(self, command, arguments, environment=MappingProxyType({})):
        page_rules.parse_ponikeeper(self._tree, arguments)
        verb = next((word for word in arguments if not word.startswith("-")), "")
        if verb in page_rules.NOT_RUN or "--install-completion" in arguments:
            return ""
        environment = {"COLUMNS": "200", **environment}
        words = [item for word in arguments for item in self._expanded(word) or [self._here(word)]]
        if "http://tiled:8000" in words:
            parts = urlsplit(self.site.tiled()[0].uri)
            environment["TILED_API_KEY"] = parse_qs(parts.query)["api_key"][0]
            words = [parts._replace(query="").geturl() if word == "http://tiled:8000" else word for word in words]
        if "STATE_DIRECTORY" in environment:
            assert environment["STATE_DIRECTORY"] == STATE_DIRECTORY
            new_host = self.folder / "new-host"  # an import is refused while the IOC runs
            new_host.mkdir(exist_ok=True)
            environment["STATE_DIRECTORY"] = str(new_host if verb == "import" else self.site.ioc.state_dir)
        done = self._call(*words, **environment)
        printed = done.stdout + done.stderr
        assert done.returncode == page_rules.exit_code(command), f"exit code {done.returncode}: {printed}"
        return self._there(printed)

    def _expanded(self, word):
        """Return the files that a pattern matches, as a shell would."""
        is_pattern = "*" in word and not word.startswith("/")
        return [str(path) for path in sorted(self.folder.glob(word))] if is_pattern else []

    def _caput(self, program, arguments):
        import epics

        name = arguments[0]
        if program == "caget":
            value = epics.caget(name, as_string=True, timeout=20)
            return f"{self._there(name)} {value}\n"
        assert _caput(name, " ".join(arguments[1:])), f"{name} cannot be put"
        return ""

    def _compare(self, block):
        checker = doctest.OutputChecker()
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = checker.check_output(block.text, self.printed, flags)
        assert same, f"the page shows\n{block.text}\nprinted was\n{self.printed}"

    def close(self):
        if self.namespace is not None:
            self.namespace["_close"]()


STATE_DIRECTORY = "/var/lib/ponikeeper/28id1"
"""Folder of the history as the pages name it."""

PLACE = 200.0
"""Start position of the stage for each page (mm)."""

ENERGY = 74.5545
"""Of the wavelength of near.poni (keV)."""


def _caput(name, value):
    import epics

    pv = epics.get_pv(name, connect=True, timeout=20)
    if not pv.connected:
        return False
    if pv.count > 1 and isinstance(value, str):
        value = np.frombuffer(value.encode() + b"\0", np.uint8)
    elif pv.type.endswith("enum"):
        value = int(value) if str(value).isdigit() else pv.enum_strs.index(value)
    elif "string" not in pv.type:
        value = float(value)
    return pv.put(value, wait=True, timeout=20) is not None
