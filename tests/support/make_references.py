"""Write the reference pages from the code: ``python tests/support/make_references.py``.

Each page is made whole: the command line from typer's own generator, the PVs from the contract, the API from
signatures and docstrings, the configuration from its models and the example file, the messages from the
protocol's examples. tests/slow/test_references.py makes each page again and compares.
"""

import html
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer
import typer.cli
import typer.main

from ponikeeper.cli.app import __doc__ as cli_doc
from ponikeeper.cli.app import command_line
from ponikeeper.config import Config
from ponikeeper.history.record_form import FIELDS as RECORD_FIELDS
from ponikeeper.protocol.examples import EXAMPLES, HISTORY_EXAMPLE
from ponikeeper.protocol.json_text import MAX_BYTES
from ponikeeper.protocol.link_kinds import LINK_KINDS
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV, Kind
from ponikeeper.protocol.schema import FIELDS, PROVENANCE
from ponikeeper.text import strictjson
from public_api import PACKAGES, package_reference

ROOT = Path(__file__).parents[2]
EXAMPLE_CONFIG = ROOT / "deploy" / "config" / "example.toml"
COMMAND = "python tests/support/make_references.py"
_NOTE = f"<!-- Do not edit: made by `{COMMAND}`. -->"

_TYPES = {
    Kind.DOUBLE: "double",
    Kind.LONG: "long",
    Kind.STRING: "string",
    Kind.TEXT: "char waveform",
    Kind.ENUM: "enum",
}


def _page(title: str, origin: str, *parts: str) -> str:
    made = f"This page is made from {origin} by `{COMMAND}`; edit the code, then run that command."
    return "\n\n".join([_NOTE, f"# {title}", made, *(part.strip() for part in parts)]) + "\n"


def command_tree() -> Any:
    """Return the command `ponikeeper` with the verbs of every package."""
    return typer.main.get_command(command_line())


def verbs(command: Any, *words: str) -> dict[str, Any]:
    """Return every command of the tree by its words, such as ``export alarms``."""
    if not hasattr(command, "commands"):
        return {" ".join(words): command}
    return {key: value for name, child in command.commands.items() for key, value in verbs(child, *words, name).items()}


def cli_page() -> str:
    """Return the reference of the command line."""
    command = command_tree()
    for child in (*verbs(command).values(), *command.commands.values()):
        child.short_help = child.help.partition(": ponikeeper")[0].partition("\n")[0]
    context = typer.Context(command, info_name="ponikeeper", help_option_names=["-h", "--help"])
    docs = html.unescape(typer.cli.get_docs_for_click(obj=command, ctx=context, name="ponikeeper"))
    docs = re.sub(r"^(# .*\n)", "", docs, count=1)
    codes = " ".join((cli_doc or "").partition("Exit codes:")[2].split())
    assert codes, "the docstring of ponikeeper.cli.app lists the exit codes"
    origin = f"the commands' own help (typer {typer.__version__})"
    return _page("The command line", origin, f"Exit codes: {codes}", docs)


def _pv_table(pvs: tuple[PV, ...]) -> str:
    """Format PVs of one meaning (setpoint, readback, staged value) as one row; writable PVs are bold."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for pv in pvs:
        kind = _TYPES[pv.kind] + (f": {', '.join(pv.states)}" if pv.states else "")
        name = f"**`{pv.suffix}`**" if pv.writable else f"`{pv.suffix}`"
        rows.setdefault((kind, pv.units, pv.desc), []).append(name)
    lines = ["| PV | type | unit | description |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' '.join(pvs)} | {' | '.join(row)} |" for row, pvs in rows.items())])


def _range_table() -> str:
    lines = ["| value | lowest | highest | unit |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{pv.parameter}` | {pv.limits[0]:g} | {pv.limits[1]:g} | {pv.units} |"
        for pv in DETECTOR_PVS
        if pv.limits and pv.writable and not pv.suffix.startswith("Stage:")
    ]
    return "\n".join(lines)


def _alarm_table() -> str:
    lines = ["| PV | delay | latching | guidance for the operator |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{pv.suffix}` | {pv.alarm.delay} s | {'yes' if pv.alarm.latching else 'no'} | {pv.alarm.guidance} |"
        for pv in (*DETECTOR_PVS, *IOC_PVS)
        if pv.alarm
    ]
    return "\n".join(lines)


def pvs_page() -> str:
    """Return the reference of the PVs."""
    archived = ", ".join(f"`{pv.suffix}`" for pv in (*DETECTOR_PVS, *IOC_PVS) if pv.archived)
    return _page(
        "The PVs",
        "the PV contract, `ponikeeper.protocol.pvs`",
        "`Name` is written, `Name_RBV` is the active value. PVs in **bold** accept puts. The index of an enum state "
        f"never changes its meaning. A char waveform has {MAX_BYTES} elements.",
        "## PVs of a detector\n\nEach name follows the detector's prefix, such as `XF:28ID1-ES{Det:PE1}Calib:`. Over "
        "[PVAccess](pvaccess.md) there is also `Geometry`, a structure of everything that is active.",
        _pv_table(DETECTOR_PVS),
        "## PVs of the IOC\n\nEach name follows the IOC's own prefix. Names in capitals are those of iocStats.",
        _pv_table(IOC_PVS),
        "## Limits of the values\n\nA put outside these limits is refused; the configuration can narrow them.\n\n"
        "These are refused too, as they were probably typed in another unit, unless the detector has limits of\n"
        "that value in the configuration: a distance of 20 m or more, a PONI or beam centre more than 10 panels\n"
        "away (of a panel whose shape pyFAI or `max_shape` has), and rotations such as 1.5, which look like degrees.",
        _range_table(),
        "## Alarms\n\nWhat `ponikeeper export alarms` writes for the alarm server.",
        _alarm_table(),
        f"## Archived PVs\n\nWhat `ponikeeper export archiver` asks the archiver to store: {archived}.",
    )


def _meanings() -> dict[str, dict[str, str]]:
    """Read the remark of each key from the example configuration, by table."""
    meanings: dict[str, dict[str, str]] = {}
    table = ""
    for line in EXAMPLE_CONFIG.read_text(encoding="ascii").splitlines():
        if match := re.match(r"(?:# )?\[+([a-z.]+)\]+(?:\s+# (.*))?", line):
            table = match[1]
            parent, _, key = table.rpartition(".")
            meanings.setdefault(parent, {}).setdefault(key, match[2] or "")
        elif line.startswith("# or, instead"):  # two keys that are explained in one remark
            meanings.setdefault(table, {}).update(re.findall(r'(\w+) = "[^"]*": ([^,]+)', line))
        elif match := re.match(r"(?:# )?(\w+) = (.+?)(?:\s+# (.*))?$", line):
            meanings.setdefault(table, {}).setdefault(match[1], match[3] or "")
    return meanings


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Describe the type of a key from its JSON schema."""
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(_type(option, definitions) for option in options)
    if "enum" in schema:
        return ", ".join(f'`"{value}"`' for value in schema["enum"])
    if "$ref" in schema:
        return "table"
    name = {"boolean": "true or false", "integer": "whole number", "object": "table"}.get(
        schema["type"], schema["type"]
    )
    if schema["type"] == "array":
        return f"list, each {_type(schema['items'], definitions)}"
    bounds = [
        f"{word} {schema[key]:g}"
        for key, word in (
            ("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"),
            ("maxLength", "length at most"), ("maxItems", "at most"),
        )
        if key in schema
    ]  # fmt: skip
    return ", ".join([name, *bounds])


def _default(key: str, schema: Mapping[str, Any], required: list[str]) -> str:
    if key in required:
        return "required"
    value = schema.get("default")
    return "none" if value in (None, "", [], {}) else f"`{strictjson.dumps(value)}`"


def configuration_page() -> str:
    """Return the reference of the configuration file."""
    schema = Config.model_json_schema()
    definitions, meanings = schema["$defs"], _meanings()
    sections = []
    for title, table, model in (
        ("[ioc]", "ioc", "Ioc"),
        ("[[detector]]", "detector", "Detector"),
        ("[[detector.link]]", "detector.link", "Link"),
        ("[[detector.push]]", "detector.push", "Push"),
        ("[access]", "access", "Access"),
        ("[pva]", "pva", "Pva"),
    ):
        rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        definition = definitions[model]
        for key, each in definition["properties"].items():
            remarks = [meanings.get(table, {}).get(key, ""), each.get("description", "")]
            meaning = "; ".join(remark for remark in remarks if remark).replace(" | ", ", ").replace("|", ",")
            rows.append(
                f"| `{key}` | {_type(each, definitions)} | {_default(key, each, definition.get('required', []))} "
                f"| {meaning} |"
            )
        sections.append(f"## `{title}`\n\n{_paragraph(definition.get('description', ''))}\n\n" + "\n".join(rows))
    return _page(
        "The configuration",
        "the models of `ponikeeper.config` and the remarks in `deploy/config/example.toml`",
        "One TOML file describes one IOC. Unknown keys are refused; `ponikeeper check FILE` names every error with "
        "file, key, value and what is allowed. Relative paths are relative to the file. See also the "
        "[example](../../deploy/config/example.toml).",
        *sections,
        _link_kinds(),
    )


def _link_kinds() -> str:
    """Return the section of the link kinds."""
    rows = ["| kind | the PV | `units` | `tolerance` |", "| --- | --- | --- | --- |"]
    for name, kind in LINK_KINDS.items():
        units = " or ".join(kind.beam.units) if kind.beam else "any" if kind.has_tolerance else "none"
        tolerance = "relative" if kind.is_relative else "in `units`" if kind.has_tolerance else "none"
        rows.append(f"| `{name}` | {kind.doc} | {units} | {tolerance} |")
    return "## Link kinds\n\n" + "\n".join(rows)


def _paragraph(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text).strip()


def _kinds(kinds: Mapping[str, Any]) -> str:
    rows = ["| key | required | expected |", "| --- | --- | --- |"]
    rows += [f"| `{key}` | {'yes' if kind.required else ''} | {kind.expected} |" for key, kind in kinds.items()]
    return "\n".join(rows)


def _example(name: str) -> str:
    import json

    text = json.dumps(json.loads(EXAMPLES[name]), indent=2)
    return f"```json\n{text}\n```"


def _history_file() -> list[str]:
    """Describe the history file: what each line is, and the keys of each record."""
    lines = (
        '| line | content |\n| --- | --- |\n| first | `"v"`: the version, 1; `"what"`; `"prefix"` of the detector; '
        '`"exported"`: the time; `"checksum"` of the canonical JSON of the other keys |\n'
        "| then | one object of one key for each record: all of "
        + ", then all of ".join(f"`{kind}`" for kind in RECORD_FIELDS)
        + ", each kind numbered from 1 without a gap |\n"
        '| last | `"counts"` of the records by kind (the last five only where there are '
        'any), and `"sha256"` of all bytes '
        "before this line |"
    )
    parts = [
        "`ponikeeper export history` writes it, `ponikeeper verify` and `ponikeeper import` read it: JSON lines in "
        "ASCII, each ended by a newline, in the form that `json.dumps` of Python makes of it, so that any change is "
        "detected. Times are UTC. A correction has the kind `judgement`. The checksum of a record is `sha256:` and the "
        "SHA-256 of the prefix, the kind and its other values in the order of the table, joined by the byte 0x1f, in "
        "UTF-8: geometry, position and provenance as JSON with sorted keys and without spaces, null of the others as "
        "the byte 0x00. An activation says from when on a revision was active, and why. A record of the kind "
        "`service` takes a link out of service, or returns it to service; files of older versions have none. The "
        "record `rename` gives the detector another prefix; the first line and the checksums keep the first one.",
        lines,
        *(f"### `{kind}`\n\n{_kinds(fields)}" for kind, fields in RECORD_FIELDS.items()),
        f"### Example\n\n```jsonl\n{HISTORY_EXAMPLE}```",
    ]
    return ["## The history file", *parts]


def messages_page() -> str:
    """Return the reference of the JSON messages."""
    requests = [f"### `{op}`\n\n{_kinds(fields)}\n\n{_example(op)}" for op, fields in FIELDS.items()]
    others = {
        "results": "`Results_RBV`: the latest results, newest first",
        "snapshot": "`Snapshot_RBV`",
        "links": "`Links_RBV`. Where they are configured, a link also has `scale_sigma`, and the whole has "
        '`"extrapolate": true`',
    }
    texts = [f"## {name.capitalize()}\n\n{where}.\n\n{_example(name)}" for name, where in others.items()]
    return _page(
        "The JSON messages",
        "`ponikeeper.protocol`: its schema and its examples",
        f"UTF-8 JSON, at most {MAX_BYTES} bytes each. A request is put to `Request`; its result appears in "
        "`Results_RBV` under the same `request` id. A request that is sent again with the same id and content is "
        "answered again, not executed again.",
        "## Requests",
        *requests,
        f"### `provenance` of a commit\n\n{_kinds(PROVENANCE)}",
        _files_section(),
        *texts,
        "## Revisions of the history\n\n`History:Read` takes a query such as `revision 12`; `History:Read_RBV` has "
        '`{"v": 1, "read": "revision 12", "count": 57, "records": [...]}`: the records from that number on, as many as '
        "fit, and the number of the newest one; of a detector that was renamed also `prefix`, the first one, which the "
        "checksums cover. Records are those of the history file below.\n\n"
        "`ponikeeper get --json` with `--revision`, `--label` or `--at` prints the keys of a `revision`, `prefix`, "
        "`label_now` (`label` is the one that it was committed with), `active` (whether it is active), "
        "`active_revision`, `corrections` of it, `undone` (whether every activation of it was), and `undos`, a line "
        "for each undone activation; with `--at` also `at`: `start` and `end` of the time, and `active`, a list of "
        "`serial`, `since`, `until`. `ponikeeper history --json` prints `active` (a number, 0 for none), `count` and "
        "`revisions`, newest first, each with `undone`; `ponikeeper diff --json` a list of the two revisions, with "
        "`label_now`.",
        *_history_file(),
    )


def _files_section() -> str:
    """Describe the files of a commit."""
    detector = {"path": "/data/frelon/taper.spline", "sha256": "6f" * 32}
    mask = {"path": "/data/frelon/mask.edf", "sha256": "a0" * 32}
    return (
        "### `files` of a commit\n\n"
        "The content of a file that `detector_config` names decides where the pixels are: a commit is refused unless "
        "it has the absolute path and the SHA-256 of each: of `filename`, `splineFile`, `x_offset_file`, "
        "`y_offset_file`, of other keys that end in file or path, and of every text that looks like a path (nested "
        "ones too: `a.b` for the key b in the object a). `files` has them by that key; the only file of a "
        "configuration may also be called `detector`. `mask` is an image or array, nonzero is masked; it is never "
        "required. The IOC opens none of them: clients compute the hashes (`ponikeeper put`, `ponikeeper fit --put`, "
        "`CalibrationData`), and verify the files before they use the geometry.\n\n"
        f"```json\n{json.dumps({'files': {'splineFile': detector, 'mask': mask}}, indent=2)}\n```\n\n"
        "They are stored as `files` of the provenance. An edit of the active revision keeps the files that its "
        "configuration still names, and the mask; another detector drops them. A commit that gives `detector_config` "
        "gives their hashes, too; one with all ten values has no mask unless it gives one."
    )


def api_page() -> str:
    """Return the reference of the public Python names."""
    return _page(
        "The Python API",
        "the signatures and docstrings of the public names (`__all__`)",
        "\n".join(f"- [`{name}`](#{name.replace('.', '')})" for name in PACKAGES),
        *(package_reference(name) for name in PACKAGES),
    )


PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "iocs/docs/cli.md": cli_page,
    ROOT / "iocs/docs/pvs.md": pvs_page,
    ROOT / "iocs/docs/configuration.md": configuration_page,
    ROOT / "iocs/docs/json-formats.md": messages_page,
    ROOT / "client/docs/api.md": api_page,
}


if __name__ == "__main__":
    for path, make in PAGES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(make(), encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
