"""What a monitoring system is told about an IOC and its detectors: for Nagios and for Prometheus. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ponikeeper.protocol.pvs import is_prefix_right
from ponikeeper.protocol.snapshot import Snapshot
from ponikeeper.protocol.status import Severity, Status, applies
from ponikeeper.text.ascii import printable

PARTS = ("Storage", "Access", "PutLog", "Clock")
"""Parts of an IOC that have ``Status_RBV`` and ``Message_RBV``."""

NUMBERS = ("Storage:Free_RBV", "Storage:Latency_RBV", "CA_CLNT_CNT", "CA_CONN_CNT", "MEM_USED", "FD_FREE", "Denied_RBV")
"""Suffixes of the numbers that are reported."""

_FREE = "Storage:Free_RBV"

_METRICS = {
    _FREE: ("storage_free_bytes", "gauge", "Free bytes on the disk of the history"),
    "Storage:Latency_RBV": ("storage_latency_seconds", "gauge", "Duration of the last write"),
    "CA_CLNT_CNT": ("clients", "gauge", "Channel Access clients"),
    "CA_CONN_CNT": ("channels", "gauge", "Channels of all clients"),
    "MEM_USED": ("memory_bytes", "gauge", "Memory in use"),
    "FD_FREE": ("free_files", "gauge", "File descriptors that are free"),
    "Denied_RBV": ("denied_puts_total", "counter", "Puts that the access rules denied"),
}
"""Metric, its type and its description of each of the numbers."""


_NO_NUMBERS: Mapping[str, float] = {}


class Verdict(IntEnum):
    """The state of a service, with the exit codes of Nagios plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class IocHealth:
    """What an IOC says about itself.

    Parameters
    ----------
    failed
        Message of each of `PARTS` that fails.
    numbers
        Value of each of `NUMBERS`.
    """

    failed: Mapping[str, str]
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DetectorHealth:
    """The active geometry of a detector.

    Parameters
    ----------
    snapshot
        What is active.
    severity
        Alarm severity of its status, as the configuration has it.
    """

    snapshot: Snapshot
    severity: int


@dataclass(frozen=True, slots=True)
class Health:
    """What was found out about one IOC, or about one detector.

    Parameters
    ----------
    name
        Name of the configuration, or the PV prefix of the detector.
    ioc
        None if it does not answer, or was not asked.
    detectors
        By PV prefix; None for one that does not answer.
    min_free
        Free bytes on the disk of the history below which there is a warning.
    of_ioc
        Whether it is the health of the IOC; otherwise that of one detector.
    over_pva
        Whether the IOC answers over PVAccess; None if it does not serve it, or was not asked.
    """

    name: str
    ioc: IocHealth | None
    detectors: Mapping[str, DetectorHealth | None]
    min_free: float = 0.0
    of_ioc: bool = True
    over_pva: bool | None = None


def judge(health: Health) -> tuple[Verdict, list[str]]:
    """Decide on the state of an IOC, or of the geometry of one detector.

    Parameters
    ----------
    health
        Of an IOC: a store that fails, or a PV that does not answer, is critical; another part that fails, or a disk
        that is almost full, is a warning; whether geometries apply does not count. Of one detector: the alarm severity
        of its status counts, MINOR as a warning, MAJOR and INVALID as critical.

    Returns
    -------
    tuple of Verdict and list of str
        The state, and what is wrong, the worst first; or in one line what is right.
    """
    problems = [
        (Verdict.CRITICAL, _silent_text(name, of_ioc=health.of_ioc))
        for name, one in health.detectors.items()
        if one is None
    ]
    if health.over_pva is False:
        problems.append((Verdict.CRITICAL, f"the IOC of {health.name} does not answer over PVAccess"))
    if health.ioc is not None:
        problems += _problems_of_parts(health.ioc, health.min_free)
    elif health.of_ioc:
        problems.insert(0, (Verdict.CRITICAL, f"the IOC of {health.name} does not answer"))
    else:
        problems += [_judge_geometry(name, one) for name, one in health.detectors.items() if one is not None]
    bad = sorted((item for item in problems if item[0]), key=lambda item: -item[0])
    if bad:
        return bad[0][0], [text for _, text in bad]
    texts = [text for _, text in problems]
    count = len(health.detectors)
    return Verdict.OK, texts or [f"the IOC answers, {count} detector{'s' * (count != 1)}, {_free_text(health.ioc)}"]


def _silent_text(name: str, *, of_ioc: bool) -> str:
    if of_ioc:
        return f"{name} does not answer"
    return (
        f"{name} does not answer: {is_prefix_right(f'{name}Status_RBV')}, is the IOC running? Expected the prefix of a "
        "detector, or the configuration of an IOC"
    )


def _problems_of_parts(ioc: IocHealth, min_free: float) -> list[tuple[Verdict, str]]:
    problems = [
        (Verdict.CRITICAL if part == "Storage" else Verdict.WARNING, f"{part} FAILED: {message}")
        for part, message in ioc.failed.items()
    ]
    if ioc.numbers[_FREE] < min_free:
        problems.append((Verdict.WARNING, f"{_free_text(ioc)}, less than {min_free / 1e6:.0f} MB"))
    return problems


def _judge_geometry(name: str, detector: DetectorHealth) -> tuple[Verdict, str]:
    verdict = Verdict(min(detector.severity, Severity.MAJOR))
    reason = f", {detector.snapshot.reason}" if detector.snapshot.reason else ""
    return verdict, f"{name} {detector.snapshot.status}{reason}"


def _free_text(ioc: IocHealth | None) -> str:
    free = 0.0 if ioc is None else ioc.numbers[_FREE] / 1e6
    return f"{free:.0f} MB free for the history"


def nagios_text(health: Health) -> str:
    """Format the state as the output of a Nagios plugin: a line with performance data, then a line for each problem.

    Parameters
    ----------
    health
        What was found out.
    """
    verdict, texts = judge(health)
    first, *others = (text.replace("|", "/").replace("\n", " ") for text in texts)
    numbers = _NO_NUMBERS if health.ioc is None else health.ioc.numbers
    data = " ".join(f"{_METRICS[suffix][0]}={_without_exponent(value)}" for suffix, value in numbers.items())
    head = f"PONIKEEPER {verdict.name} - {first}" + (f" | {data}" if data else "")
    return "\n".join([head, *others])


def _without_exponent(value: float) -> str:
    """Format a number as Nagios expects it: of digits, sign and decimal point only."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def prometheus_text(health: Health) -> str:
    """Format what was found out in the text format of Prometheus.

    Parameters
    ----------
    health
        Of an IOC, or of one detector.

    Returns
    -------
    str
        Each line ends with a newline.
    """
    lines: list[str] = []

    def add(metric: str, kind: str, what: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> None:
        if samples:
            lines.extend([f"# HELP ponikeeper_{metric} {what}", f"# TYPE ponikeeper_{metric} {kind}"])
            lines.extend(f"ponikeeper_{metric}{_labels(labels)} {value:.17g}" for labels, value in samples)

    ioc = {"ioc": health.name}
    if health.of_ioc:
        add("up", "gauge", "Whether the IOC answers", [(ioc, float(health.ioc is not None))])
    if health.over_pva is not None:
        add("up_pva", "gauge", "Whether the IOC answers over PVAccess", [(ioc, float(health.over_pva))])
    if health.ioc is not None:
        parts = [({**ioc, "part": part}, float(part not in health.ioc.failed)) for part in PARTS]
        add("part_ok", "gauge", "Whether a part of the IOC works", parts)
        for suffix, value in health.ioc.numbers.items():
            add(*_METRICS[suffix], [(ioc, value)])
    named = [({"detector": name}, one) for name, one in health.detectors.items()]
    add(
        "detector_up",
        "gauge",
        "Whether a detector answers",
        [(labels, float(one is not None)) for labels, one in named],
    )
    answered = [(labels, one) for labels, one in named if one is not None]
    shown = [(labels, one.snapshot, one.severity) for labels, one in answered]
    add(
        "geometry_applies", "gauge", "Whether the active geometry may be used now",
        [(labels, float(applies(snapshot.status))) for labels, snapshot, _ in shown],
    )  # fmt: skip
    indices = ", ".join(f"{status.value} {status.name}" for status in Status)
    known = [(labels, Status.__members__.get(snapshot.status)) for labels, snapshot, _ in shown]
    add("geometry_status", "gauge", indices, [(labels, status.value) for labels, status in known if status is not None])
    severities = ", ".join(f"{severity.value} {severity.name}" for severity in Severity)
    add("geometry_severity", "gauge", severities, [(labels, severity) for labels, _, severity in shown])
    add("revision", "gauge", "Active revision", [(labels, snapshot.revision or 0) for labels, snapshot, _ in shown])
    add("serial", "counter", "Activations", [(labels, snapshot.serial) for labels, snapshot, _ in shown])
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    def escaped(text: str) -> str:
        return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items()) + "}"
