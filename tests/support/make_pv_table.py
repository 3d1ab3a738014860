"""Write the table of PVs in iocs/README.md from the contract: ``python tests/support/make_pv_table.py``."""

from pathlib import Path

from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV, Kind

README = Path(__file__).parents[2] / "iocs" / "README.md"
BEGIN, END = "<!-- begin: python tests/support/make_pv_table.py -->\n", "<!-- end -->\n"

_TYPES = {
    Kind.DOUBLE: "double",
    Kind.LONG: "long",
    Kind.STRING: "string",
    Kind.TEXT: "char waveform",
    Kind.ENUM: "enum",
}


def table(pvs: tuple[PV, ...]) -> str:
    """Write PVs that are told alike (setpoint, readback, staged) in one row; those that take puts are bold."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for pv in pvs:
        kind = _TYPES[pv.kind] + (f": {', '.join(pv.states)}" if pv.states else "")
        name = f"**`{pv.suffix}`**" if pv.writable else f"`{pv.suffix}`"
        rows.setdefault((kind, pv.units, pv.desc), []).append(name)
    lines = ["| PV | type | unit | what |", "| --- | --- | --- | --- |"]
    lines += [f"| {' '.join(names)} | {kind} | {unit} | {what} |" for (kind, unit, what), names in rows.items()]
    return "\n".join(lines) + "\n"


def tables() -> str:
    """Write what stands between the markers."""
    return f"Behind a detector's prefix:\n\n{table(DETECTOR_PVS)}\nBehind the IOC's own prefix:\n\n{table(IOC_PVS)}"


def written(text: str) -> str:
    """Put the tables between the markers of a text."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="ascii")), encoding="ascii")
    print(f"wrote {README}")
