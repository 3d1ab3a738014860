"""What `ponikeeper check --connect` reports about the linked PVs, and those that are written. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponikeeper.config import Link
from ponikeeper.detector.link_rules import Sample, in_units
from ponikeeper.detector.push_rules import kind_problem, units_problem
from ponikeeper.protocol import quantity
from ponikeeper.protocol.link_values import kind_of
from ponikeeper.protocol.pushed_values import Target

_SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_INVALID = 3

IN_ALARM, UNUSABLE, NOT_CONNECTED = 1, 2, 3
"""Exit codes of a link that is in INVALID alarm, cannot be used as it is configured, does not answer."""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What was read of one PV of a link.

    Parameters
    ----------
    text
        For a person, one line.
    code
        Exit code; 0 if nothing is wrong.
    """

    text: str
    code: int = 0


def link_reports(links: Sequence[Link], samples: Mapping[str, Sample], timeout: float) -> list[LinkReport]:
    """Report every PV of the links of one detector.

    Parameters
    ----------
    links
        The links of the configuration.
    samples
        The PVs by their names.
    timeout
        How long was waited for them (s).

    Returns
    -------
    list of LinkReport
        In the order of the configuration.
    """
    reports: list[LinkReport] = []
    for link in links:
        reports.append(_report(f"{link.name}  {link.pv}", link, samples[link.pv], timeout))
        if link.moving is not None:
            reports.append(_report(f"{link.name}  moving = {link.moving}", None, samples[link.moving], timeout))
    return reports


def push_reports(targets: Sequence[Target], samples: Mapping[str, Sample], timeout: float) -> list[LinkReport]:
    """Report the PVs of the driver of one detector that are written.

    Parameters
    ----------
    targets
        Those of the configuration.
    samples
        Their PVs by name.
    timeout
        How long was waited for them (s).

    Returns
    -------
    list of LinkReport
        In the order of the configuration.
    """
    reports: list[LinkReport] = []
    for target in targets:
        head, sample = f"push {target.value}  {target.readback}", samples[target.readback]
        if target.pv != target.readback:
            reports += _put_reports(f"push {target.value}  {target.pv}", target.pv, samples[target.pv], timeout)
        if not sample.connected:
            reports.append(_report(head, None, sample, timeout))
        elif problem := kind_problem(target.readback, sample) or units_problem(target, sample):
            reports.append(LinkReport(f"{head}: {problem}", UNUSABLE))
        elif sample.value is None:
            reports.append(LinkReport(f"{head}: {sample.error}; it is written all the same"))
        else:
            has = f"{quantity(sample.value, target.units)}, {_SEVERITIES[sample.severity]}"
            reports.append(LinkReport(f"{head}  {has}"))
    acquiring = dict.fromkeys(target.acquiring for target in targets)
    return [*reports, *(_report(f"push  acquiring = {pv}", None, samples[pv], timeout) for pv in acquiring)]


def _put_reports(head: str, pv: str, sample: Sample, timeout: float) -> list[LinkReport]:
    """Report a PV that is put and not read back, where something is wrong with it."""
    if not sample.connected:
        return [_report(head, None, sample, timeout)]
    problem = kind_problem(pv, sample)
    return [LinkReport(f"{head}: {problem}", UNUSABLE)] if problem else []


def exit_code(reports: Sequence[LinkReport]) -> int:
    """Return the exit code of all reports: a link that cannot be used first, then one that does not answer."""
    codes = {report.code for report in reports}
    return next((code for code in (UNUSABLE, NOT_CONNECTED, IN_ALARM) if code in codes), 0)


def _report(head: str, link: Link | None, sample: Sample, timeout: float) -> LinkReport:
    """Report one PV; a moving PV has no units and belongs to no link here."""
    if not sample.connected:
        return LinkReport(f"{head}: does not answer within {timeout:g} s", NOT_CONNECTED)
    read = sample if link is None else in_units(link, sample)
    if read.value is None or sample.value is None:
        is_unread = sample.value is not None and sample.egu is None
        code = NOT_CONNECTED if is_unread else IN_ALARM if sample.severity >= _INVALID else UNUSABLE
        return LinkReport(f"{head}: {read.error}", code)
    units, remark = ("", "") if link is None else (link.units, _remark(link, sample.value, sample))
    return LinkReport(f"{head}  {quantity(read.value, units)}{remark}, {_SEVERITIES[sample.severity]}")


def _remark(link: Link, value: float, sample: Sample) -> str:
    """Return what a person should know about the units of a value that can be used."""
    if not kind_of(link).has_tolerance or sample.egu is None or sample.egu.text == link.units:
        return ""
    if not sample.egu.text:
        return f" (the PV reports no units: {link.units} is taken from the configuration)"
    return f" (the PV reports {quantity(value, sample.egu.text)})"
