"""The service: builds store, keepers, PVs and server, and runs them from start to stop."""

import asyncio
import functools
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from caproto import AlarmStatus

from ponikeeper import __version__
from ponikeeper.access.gate import Gate
from ponikeeper.access.loading import Access
from ponikeeper.ca.access_pvs import AccessPVs
from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.clock_pvs import ClockPVs, read_clock
from ponikeeper.ca.detector_pvs import DetectorPVs
from ponikeeper.ca.health_check import HealthCheck, feed_watchdog
from ponikeeper.ca.health_pvs import HealthPVs
from ponikeeper.ca.push import Pusher
from ponikeeper.ca.putlog import PutLog
from ponikeeper.ca.pva_part import MakePva, PvaPart
from ponikeeper.ca.search import find_server
from ponikeeper.ca.server import Context, Limits
from ponikeeper.ca.server.environment import ANY, Environment, host_networks, read_environment
from ponikeeper.ca.stats_pvs import StatsPVs
from ponikeeper.config import Config, Detector
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.errors import ConfigError, GeometryError, PoniError, RefusedError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.files import without_files
from ponikeeper.geometry.slips import without_slips
from ponikeeper.protocol import Commit
from ponikeeper.protocol.pvs import IOC_PVS
from ponikeeper.putlog.sinks import make_sink
from ponikeeper.site.channelfinder import announce
from ponikeeper.store import StoredHistory
from ponikeeper.store.histories import first_prefix_of, unnamed, unnamed_text
from ponikeeper.store.opening import open_storage
from ponikeeper.store.store_thread import Health, StoreThread
from ponikeeper.system import log_level
from ponikeeper.system.free_memory import return_freed_memory
from ponikeeper.system.process_stats import count_start

if TYPE_CHECKING:
    from ponikeeper.ca.link_monitors import LinkMonitors
log = logging.getLogger(__name__)

_STOP_TIMEOUT = 1.0
_STOP_DEADLINE = 1.9
"""From SIGTERM to the end of the process at the latest (s): a supervisor waits for it."""
_HANGS = 1
"""Exit code of a service that could not end in order: systemd starts it again, unless it was to stop."""

_FIRST_HEARTBEAT = 5.0
"""Longest time from the start to the first heartbeat (s)."""

_HEALTH_PERIOD = 5.0
"""Time between two health checks if systemd sets no watchdog (s)."""

_STARTS = "starts"
"""Name of the file next to the store that counts the starts."""
_RIVAL_TRIES = 4
_RIVAL_PAUSE = 0.5


def run(config: Config, ready: Callable[[str], None], force: bool = False, make_pva: MakePva | None = None) -> None:
    """Serve a configuration until SIGTERM or SIGINT.

    Parameters
    ----------
    ready
        Called with the READY line when the server answers.
    force
        Serve even if another server answers for the same prefix.
    make_pva
        Makes the part that serves PVAccess; None: it is not served.

    Raises
    ------
    RefusedError
        Another server answers for the same prefix.
    ConfigError
        A seed cannot be used.
    StoreError
        The store cannot be used.
    """
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    return_freed_memory()
    gc.disable()  # until it is ready: what is built until then stays
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(config, ready, force, make_pva))


async def serve(
    config: Config, ready: Callable[[str], None], force: bool = False, make_pva: MakePva | None = None
) -> None:
    """Serve a configuration until SIGTERM or SIGINT; see `run`."""
    begin, stop = read_clock(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _request_stop, stop)
    log_level.watch_signals(loop)
    environment, access = await asyncio.to_thread(_environment_and_access, config)
    rival_check = asyncio.create_task(_require_no_rival(config, environment, force))  # runs while the store is opened
    try:
        store = StoreThread(await asyncio.to_thread(open_storage, config.store))
    except BaseException:
        rival_check.cancel()
        raise
    try:
        await rival_check
        await store.probe()
        if not store.health.ok:
            log.error("the store cannot be written, serving the active geometry: %s", store.health.message)
        linked = [
            LinkStates(detector.link, detector.settle, mismatch=detector.mismatch, extrapolate=detector.extrapolate)
            for detector in config.detector
        ]
        histories = await store.read(lambda storage: storage.histories())
        for history in unnamed(histories, [detector.prefix for detector in config.detector]):
            log.warning("%s", unnamed_text(history, str(config.source)))
        detectors = [
            await _detector_pvs(config, detector, store, links, histories)
            for detector, links in zip(config.detector, linked, strict=True)
        ]
        pvdb = {name: channel for pvs in detectors for name, channel in pvs.pvdb.items()}
        ioc_channels = await _ioc_channels(store)
        pvdb |= {config.ioc.prefix + suffix: channel for suffix, channel in ioc_channels.items()}
        clock_pvs = ClockPVs(ioc_channels, [pvs.keeper for pvs in detectors], begin)
        access_pvs = AccessPVs(access, config, ioc_channels)
        starts = await asyncio.to_thread(count_start, config.store.with_name(_STARTS))
        stats = StatsPVs(ioc_channels, config.ioc.engineer, config.ioc.location, starts)
        sink = make_sink(config.ioc.putlog, config.source.parent)
        putlog = None if sink is None else PutLog(sink, ioc_channels)
        gate = Gate(access_pvs.count_denied, putlog and putlog.write)
        limits = Limits(config.ioc.max_clients, config.ioc.max_clients_per_host)
        context = Context(
            pvdb,
            access=access,
            gate=gate,
            limits=limits,
            environment=environment,
        )
        listening: asyncio.Future[int] = loop.create_future()

        def report_ready(port: int) -> None:
            listening.set_result(port)
            gc.freeze()  # what exists now stays: the collector need not look at it again
            gc.enable()
            over_pva = "" if pva is None else f" pva_port={pva.port}"
            ready(f"READY port={port} pvs={len(context.pvdb)} detectors={len(config.detector)}{over_pva}")

        requests = {detector.prefix: pvs.puts for detector, pvs in zip(config.detector, detectors, strict=True)}
        pva = make_pva and make_pva(config, context.pvdb, requests, access, gate, context.interfaces)
        clients = [context] if pva is None else [context, pva]
        hook = functools.partial(_run_health_check, context, config, store, pva, report_ready)
        server = asyncio.create_task(context.run(lambda _: hook()))
        coroutines = [
            store.watch(),
            _watch_links([*linked, *(pvs.pusher for pvs in detectors)]),
            access_pvs.run(*clients),
            clock_pvs.run(),
        ]
        coroutines += [stats.run(context), stop.wait()]
        recsync_port = config.ioc.recsync_port
        coroutines += [] if recsync_port is None else [announce(config, recsync_port, listening)]
        coroutines += [pvs.run() for pvs in detectors]
        coroutines += [] if putlog is None else [putlog.run()]
        coroutines += [] if pva is None else [pva.run()]
        tasks = [server, *(asyncio.create_task(coroutine) for coroutine in coroutines)]
        # a failing task ends the service: otherwise an outdated status would look current
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if server.done() and isinstance(server.exception(), OSError):
            raise ConfigError(
                f"{config.source}: cannot listen on {', '.join(context.interfaces)} port {environment.port}: "
                f"{server.exception()}; expected addresses of this host"
            ) from server.exception()
        _notify("STOPPING=1")
        await _end(tasks)
        if putlog is not None:
            await putlog.close()
    finally:
        await _close(store)


def _request_stop(stop: asyncio.Event) -> None:
    """Stop the service; the process ends in time, whatever hangs."""
    stop.set()
    deadline = threading.Timer(_STOP_DEADLINE, os._exit, (_HANGS,))
    deadline.daemon = True
    deadline.start()


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """End the tasks of the service; raises the error of one that has failed. One that does not end is left behind."""
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=_STOP_TIMEOUT)
    for task in left:
        log.error("a part of the service does not end: %r", task)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def environment_of(config: Config) -> Environment:
    """Read the EPICS variables of this process; the configuration takes precedence.

    Raises
    ------
    ConfigError
        A variable cannot be used.
    """
    return read_environment(os.environ, host_networks(), socket.gethostbyname, config.ioc.interfaces, config.ioc.port)


def _environment_and_access(config: Config) -> tuple[Environment, Access]:
    """Read both; host names are looked up, which may take long."""
    return environment_of(config), Access(config)


def seed(config: Config, detector: Detector) -> Geometry | None:
    """Read the geometry that is committed at the first start of a detector.

    Raises
    ------
    ConfigError
        The file is not a valid PONI, it names other files, or a value is outside the limits of the detector or a slip.
    """
    text = config.seed_text(detector)
    if text is None:
        return None
    try:
        geometry = Geometry.parse(poni.read(text).as_dict(), detector.limits)
        return without_files(without_slips(geometry, detector.limits))
    except (PoniError, GeometryError) as error:
        number = config.detector.index(detector) + 1
        raise ConfigError(
            f'{config.source}: detector {number}: seed = "{detector.seed}": {problem}' for problem in error.problems
        ) from None


async def _require_no_rival(config: Config, environment: Environment, force: bool) -> None:
    """Check that no other server answers for the PVs of this IOC; wait a little for one that is stopping.

    Raises
    ------
    RefusedError
        Another server answers.
    """
    names = [f"{config.ioc.prefix}Version_RBV", *(f"{detector.prefix}Snapshot_RBV" for detector in config.detector)]
    own = [(address, environment.port) for address in ("127.0.0.1", *environment.broadcasts.values())]
    addresses = tuple(dict.fromkeys((*environment.clients_search, *own)))
    rival = None
    for _ in range(_RIVAL_TRIES):
        rival = None if force else await find_server(names, addresses)
        if rival is None:
            return
        await asyncio.sleep(_RIVAL_PAUSE)
    raise RefusedError(f"{rival} already: stop that server, or give this one another prefix (--force overrides)")


async def _detector_pvs(
    config: Config, detector: Detector, store: StoreThread, links: LinkStates, histories: Sequence[StoredHistory]
) -> DetectorPVs:
    first_prefix = first_prefix_of(histories, detector.prefix)
    keeper = Keeper(
        detector.prefix, store, detector.limits, links, detector.follow, edit_position=detector.position,
        assumed=detector.assumed_errors(), prefer=detector.prefer, history=first_prefix,
    )  # fmt: skip
    await keeper.load()
    geometry = seed(config, detector)
    if geometry is not None and keeper.state.count == 0:
        provenance = {"method": "poni", "comment": f"seed {detector.seed}"}
        result = await keeper.execute(Commit(geometry.as_dict(), provenance, inherit=False), "configuration")
        log.info("seed of %s: %s %s", detector.prefix, result.outcome, "; ".join(result.errors))
    had = {prefix for history in histories if history.prefix == first_prefix for prefix in history.prefixes}
    pvs = DetectorPVs(detector, keeper, links, store, sorted(had - {detector.prefix}))
    await pvs.start()
    return pvs


async def _watch_links(detectors: Sequence[LinkStates | Pusher]) -> None:
    """Monitor the linked PVs of all detectors, and those that are written, until cancelled."""
    pvs = {pv for linked in detectors for pv in linked.pvs}
    if not pvs:
        await asyncio.Event().wait()

    def update(pv: str, sample: Sample) -> None:
        for linked in detectors:
            linked.update(pv, sample)

    with_units = {pv for linked in detectors for pv in linked.pvs_with_units}
    watch = (await asyncio.to_thread(_watch_class))(pvs, with_units, update)
    try:
        await asyncio.Event().wait()
    finally:
        watch.close()


def _watch_class() -> "type[LinkMonitors]":
    """Import the client library, which takes half a second and is not needed by an IOC without links."""
    from ponikeeper.ca.link_monitors import LinkMonitors

    return LinkMonitors


async def _ioc_channels(store: StoreThread) -> dict[str, Any]:
    """Build the IOC's own channels by suffix, and publish the health of the store to them."""
    channels: dict[str, Any] = {pv.suffix: make_channel(pv) for pv in IOC_PVS}

    storage = HealthPVs(channels, "Storage", AlarmStatus.WRITE)

    async def publish(health: Health) -> None:
        storage.publish(health.ok, health.message)
        channels["Storage:Latency_RBV"].post(health.latency, time.time())
        channels["Storage:Free_RBV"].post(health.free, time.time())

    store.on_health(publish)
    await publish(store.health)
    channels["Version_RBV"].post(__version__, time.time())
    return channels


async def _run_health_check(
    context: Context, config: Config, store: StoreThread, pva: PvaPart | None, ready: Callable[[int], None]
) -> None:
    """Report readiness when the first heartbeat arrives, then notify the watchdog as long as they arrive."""
    host = "127.0.0.1" if context.interfaces[0] == ANY else context.interfaces[0]
    port = context.tcp_port
    check = HealthCheck(host, port, f"{config.ioc.prefix}HEARTBEAT", context.admit)
    listening = asyncio.create_task(check.run())
    try:
        await check.wait_for_heartbeat(_FIRST_HEARTBEAT)
        if pva is not None:
            await pva.wait_until_ready(_FIRST_HEARTBEAT)
        ready(port)
        _notify("READY=1")
        await feed_watchdog(check, store, _notify, _watchdog_period(), pva)
    except TimeoutError:
        over_pva = "" if pva is None else ", or not over PVAccess"
        raise RuntimeError(f"the server does not answer itself on {host}:{port}{over_pva}") from None
    finally:
        listening.cancel()


def _watchdog_period() -> float:
    """Return the watchdog interval (s): a third of the time that systemd allows (sd_watchdog_enabled(3))."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 3e6 if allowed.isdecimal() else _HEALTH_PERIOD


def _notify(message: str) -> None:
    """Send a message to systemd if it started this process (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


async def _close(store: StoreThread) -> None:
    """Close the store; a disk that does not respond must not keep the process running."""
    try:
        async with asyncio.timeout(_STOP_TIMEOUT):
            await asyncio.to_thread(store.close)
    except TimeoutError:
        log.error("the disk does not respond: stopping without closing the store")  # noqa: TRY400
        os._exit(_HANGS)
