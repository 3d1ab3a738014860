"""What the tests do with each code block of a page: a rule for each language and for each program.

A block in a language, or a line with a program, that has no rule here fails the test.
"""

import configparser
import inspect
import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pages import ROOT, Block
from ponikeeper import config as config_module
from ponikeeper.history import history_file
from ponikeeper.protocol import Snapshot, parse_links, parse_request, parse_results

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
UNITS = {path.name for path in (ROOT / "deploy" / "systemd").glob("ponikeeper*")}

NOT_RUN: Mapping[str, str] = {
    "serve": "the test has an IOC of its own that serves the page's PVs",
    "demo": "has a test of its own, tests/bluesky/test_demo.py",
    "watch": "ends with Ctrl-C",
    "rename": "needs an IOC that is stopped; tests/bluesky/test_renamed.py",
    "install-unit": "needs root; tests/unit/cli/test_install_unit.py",
}
"""Verbs that are parsed with their options, and not run."""

TRUSTED = {
    "alarm-server", "apt-get", "bluesky-0MQ-proxy", "cd", "curl", "dnf", "export", "firewall-cmd", "install", "ln",
    "mv", "phoebus.sh", "pvget", "pvmonitor", "pvput", "scp", "start-re-manager", "tiled",
}  # fmt: skip
"""Programs of the system, about which nothing of this project can be checked."""


def statements(block: Block) -> list[tuple[int, str]]:
    """Return the commands of a shell block with their lines: continued lines joined, comments and blanks left out."""
    commands: list[tuple[int, str]] = []
    pending, first = "", block.line
    for number, line in enumerate(block.text.splitlines(), block.line):
        if not pending:
            first = number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
        elif pending.count("'") % 2 == 0:
            if pending.strip() and not pending.lstrip().startswith("#"):
                commands.append((first, pending))
            pending = ""
        else:
            pending += "\n"
    assert not pending, f"{block.where}: a quote is not closed"
    return commands


def words(command: str) -> list[str]:
    """Split a command; its remark is left out."""
    return shlex.split(command, comments=True)


def exit_code(command: str) -> int:
    """Return the exit code that the remark of a command names, such as ``# exit code 1: ...``; else 0."""
    match = re.search(r"# exit code (\d)", command)
    return int(match[1]) if match else 0


def parse_ponikeeper(tree: Any, arguments: list[str]) -> None:
    """Parse the words behind `ponikeeper` as the program would; raises what typer raises."""
    command, names = tree, []
    rest = [word for word in arguments if word not in ("--install-completion", "--version")]
    while rest and hasattr(command, "commands"):
        assert rest[0] in command.commands, f"ponikeeper {' '.join([*names, rest[0]])}: no such command"
        names.append(rest[0])
        command, rest = command.commands[rest[0]], rest[1:]
    if names and not hasattr(command, "commands"):
        command.make_context(" ".join(names), list(rest))


def check_program(line: str, arguments: list[str]) -> None:
    """Check a line with a program that is not run: what it names of this project exists."""
    program, rest = Path(arguments[0]).name, arguments[1:]
    rule = PROGRAMS.get(program)
    assert rule or program in TRUSTED, f"no rule for the program {program}: {line}"
    if rule:
        rule(rest)


def _units(arguments: list[str]) -> None:
    for word in arguments:
        if word.startswith("ponikeeper") and "@" in word:
            name, _, tail = word.partition("@")
            suffix = ".timer" if tail.endswith(".timer") else ".service"
            assert f"{name}@{suffix}" in UNITS, word


def _pip(arguments: list[str]) -> None:
    assert arguments[0] in ("install", "wheel"), arguments
    for word in arguments:
        for extra in re.findall(r"(?:ponikeeper|\.)\[([\w,-]+)\]", word):
            for name in extra.split(","):
                assert f"\n{name} = [" in PROJECT, f"there is no extra {name}"


def _pytest(arguments: list[str]) -> None:
    paths = [word for word in arguments if word.startswith("tests")]
    assert [path for path in paths if not (ROOT / path.partition("::")[0]).exists()] == []


def _python(arguments: list[str]) -> None:
    if arguments[:1] == ["-m"]:
        if arguments[1] == "pip":
            _pip(arguments[2:])
        elif arguments[1] != "venv":
            assert (ROOT / "iocs" / f"{arguments[1].replace('.', '/')}.py").exists(), arguments
    elif arguments and arguments[0] != "-c":
        assert (ROOT / arguments[0]).exists(), arguments


def _check_of_ci(program: str) -> Callable[[list[str]], None]:
    def check(arguments: list[str]) -> None:
        assert " ".join([program, *arguments]) in (ROOT / ".ci/run").read_text(), arguments

    return check


def _qserver(arguments: list[str]) -> None:
    from ponikeeper_client import queueserver

    if arguments[:3] == ["queue", "add", "plan"]:
        item = json.loads(arguments[3])
        if plan := getattr(queueserver, item["name"], None):
            inspect.signature(plan).bind(*item.get("args", ()), **item.get("kwargs", {}))
        else:  # tests/bluesky/test_profile.py runs those of the example profile
            startup = (ROOT / "client/docs/profile/startup").glob("*.py")
            assert any(re.search(rf"\b{item['name']}\b", file.read_text()) for file in startup), item["name"]
    else:
        assert arguments in (["queue", "start"], ["environment", "open"]), arguments


def _git(arguments: list[str]) -> None:
    assert arguments[0] in ("tag", "push", "clone", "switch"), arguments


PROGRAMS: Mapping[str, Callable[[list[str]], None]] = {
    "systemctl": _units,
    "journalctl": _units,
    "pip": _pip,
    "pytest": _pytest,
    "python": _python,
    "python3": _python,
    "ruff": _check_of_ci("ruff"),
    "pyright": _check_of_ci("pyright"),
    "lint-imports": _check_of_ci("lint-imports"),
    "run": lambda _: None,  # .ci/run
    "qserver": _qserver,
    "git": _git,
}
"""The rule for each program that is not run."""


def check_toml(block: Block, folder: Path) -> None:
    """Load a configuration; a part of one is completed with what it lacks."""
    text = block.text
    if "[ioc]" not in text:
        text = f'[ioc]\nprefix = "XF:28ID1-CT{{IOC:Calib}}"\n{"" if re.match(r"[a-z_]+ =", text) else chr(10)}{text}'
    if "[[detector]]" not in text:
        detector = '[[detector]]\nprefix = "XF:28ID1-ES{Det:PE1}Calib:"\n'
        at = text.find("[[detector.link]]") if "[[detector.link]]" in text else len(text)
        at = text.find("[detector.limits]") if "[detector.limits]" in text else at
        text = f"{text[:at]}\n{detector}{text[at:]}"
    path = folder / "page.toml"
    path.write_text(text, encoding="utf-8")
    config_module.load(path)


def check_json(block: Block) -> None:
    """Parse a message of the protocol."""
    values = json.loads(block.text)
    if "op" in values:
        parse_request(block.text)
    elif set(values) == {"files"}:  # a part of a commit
        parse_request(json.dumps({"v": 1, "request": "page", "op": "commit", "geometry": {}} | values))
    elif "results" in values:
        assert parse_results(block.text)
    elif "links" in values:
        assert parse_links(block.text)
    else:
        Snapshot.from_json(block.text)


def check_ini(block: Block) -> None:
    """Parse a unit file or its drop-in."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(block.text)
    assert set(parser.sections()) <= {"Unit", "Service", "Install", "Timer"}


def check_diff(block: Block) -> None:
    """Compile both sides; what the new side imports of this project exists."""
    for sign in "-+":
        side = "\n".join(line[1:] for line in block.text.splitlines() if line[:1] in (sign, " "))
        compile(side, block.where, "exec")
    for module, names in re.findall(r"^\+from (ponikeeper\S*) import (.+)$", block.text, flags=re.MULTILINE):
        loaded = __import__(module, fromlist=["_"])
        assert [name for name in names.split(", ") if not hasattr(loaded, name)] == []


def check_console(block: Block, tree: Any) -> None:
    """Check that the verb of a usage line exists."""
    for line in block.text.splitlines():
        names = re.match(r"\$ ponikeeper((?: [a-z-]+)*)", line)
        assert names, f"{block.where}: expected $ ponikeeper ..."
        command = tree
        for name in names[1].split():
            command = command.commands[name]


def check_pycon(block: Block) -> None:
    """Compile each example of a docstring."""
    import doctest

    for example in doctest.DocTestParser().get_examples(inspect.cleandoc(block.text)):
        compile(example.source, block.where, "exec")


STATIC: Mapping[str, Callable[[Block, Path, Any], None]] = {
    "toml": lambda block, folder, _: check_toml(block, folder),
    "json": lambda block, *_: check_json(block),
    "jsonl": lambda block, *_: history_file.read(block.text.encode("ascii")),
    "ini": lambda block, *_: check_ini(block),
    "diff": lambda block, *_: check_diff(block),
    "console": lambda block, _, tree: check_console(block, tree),
    "pycon": lambda block, *_: check_pycon(block),
}
"""The rule for each language that is not executed."""
