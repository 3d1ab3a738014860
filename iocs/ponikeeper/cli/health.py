"""The command for monitoring systems: health."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.cli.console import load_config, print_text, run_ca, write_output
from ponikeeper.errors import MissingExtraError, PonikeeperError
from ponikeeper.protocol.health import Health, Verdict, judge, nagios_text, prometheus_text


def health(
    name: Annotated[
        str, typer.Argument(metavar="CONFIG|PREFIX", help="the configuration of an IOC, or the PV prefix of a detector")
    ],
    prometheus: Annotated[bool, typer.Option("--prometheus", help="print the text format of Prometheus")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file to write; - or none is stdout")] = None,
    min_free: Annotated[float, typer.Option(min=0, help="free space for the history that is enough (MB)")] = 1000.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for an answer")] = 5.0,
) -> None:
    """Print the health of an IOC or a geometry for Nagios or Prometheus: ponikeeper health /etc/ponikeeper/28id1.toml.

    The exit codes are those of Nagios plugins, for this command only: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (the
    configuration cannot be read). Of an IOC: a store that fails, or a PV that does not answer, is critical (also over
    PVAccess, if the configuration has it); access
    rules, put log or clock in alarm, or too little free space, is a warning; it does not count whether the geometries
    apply. Of a detector, the alarm severity of its status counts: MINOR is a warning, MAJOR and INVALID are critical.
    """
    try:
        found = _read(name, timeout, min_free * 1e6)
    except PonikeeperError as error:
        print_text(f"PONIKEEPER UNKNOWN - {error}")
        raise typer.Exit(Verdict.UNKNOWN) from None
    if prometheus:
        write_output(output, prometheus_text(found))
    else:
        write_output(output, f"{nagios_text(found)}\n")
    raise typer.Exit(judge(found)[0])


def _read(name: str, timeout: float, min_free: float) -> Health:
    from ponikeeper.caclient import health as calls

    path = Path(name)
    if path.suffix != ".toml" and not path.exists():
        return Health(name, None, run_ca(calls.read_detectors([name], timeout)), of_ioc=False)
    config = load_config(path)
    prefixes = [detector.prefix for detector in config.detector]

    async def both() -> Health:
        ioc = await calls.read_ioc(config.ioc.prefix, timeout)
        over_pva = await _answers_over_pva(f"{config.ioc.prefix}HEARTBEAT", timeout) if config.pva.enabled else None
        return Health(path.stem, ioc, await calls.read_detectors(prefixes, timeout), min_free, over_pva=over_pva)

    return run_ca(both())


async def _answers_over_pva(pv: str, timeout: float) -> bool:
    """Return whether a PV answers over PVAccess; raises `MissingExtraError` where p4p is not installed."""
    try:
        from ponikeeper.pva.heartbeat import answers
    except ModuleNotFoundError as error:
        raise MissingExtraError("p4p") from error
    return await answers(pv, timeout)
