"""The ports and the environment of Channel Access, set before any CA library is loaded; live IOCs."""

import contextlib
import gc
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forks import WITHOUT_LIBRARY_OF_CA, Forks, wait_for_shared
from gateways import PROGRAM, Gateway
from live import PORTS, LiveIoc, free_ports, serving
from motors import Motors
from shell import Shell

pytest_plugins = ["time_limits"]

_PORTS = free_ports(PORTS + 1)
os.environ.update(
    EPICS_CA_ADDR_LIST=" ".join(f"127.0.0.1:{port}" for port in _PORTS[:PORTS]),
    EPICS_CA_AUTO_ADDR_LIST="NO",
    EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
    EPICS_CA_REPEATER_PORT=str(_PORTS[PORTS]),
)
# the matrices of a fit are small: the threads of the libraries mostly wait for each other, and waiting takes a core
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
for name in ("EPICS_CA_SERVER_PORT", "EPICS_CAS_SERVER_PORT", "EPICS_CA_NAME_SERVERS", "STATE_DIRECTORY"):
    os.environ.pop(name, None)

# otherwise each process that a test starts would compile the package again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts a process in the background
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # and the children that tests interrupt would ignore it too

_names = (f"T{number}" for number in itertools.count(1))
_free = list(_PORTS[:PORTS])

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


_FARMED = 40
"""Detectors of one IOC of the farm: each costs time at its start, and a heartbeat a second until the session ends."""

_MEMORY = Path("/dev/shm")
_ROOM = 200e6
"""Free bytes that memory must have to hold stores: in a container it may have only 64 MB in all."""


_LONG = (
    "slow/test_pages.py", "bluesky/test_recall.py", "bluesky/test_images.py", "ca/test_fit_command.py",
    "bluesky/test_guard_links.py", "bluesky/test_calibrate.py", "ca/test_link_units.py", "bluesky/test_gui.py",
    "slow/fit/test_identify.py", "bluesky/test_gateway.py", "bluesky/test_at_positions.py", "bluesky/test_demo.py",
    "bluesky/test_async_device.py", "bluesky/test_matrix.py", "ca/test_export.py", "ca/test_gateway.py",
    "slow/fit/test_acceptance.py", "ca/test_service.py", "bluesky/test_origin_notebook.py",
    "bluesky/test_queueserver.py", "ca/test_health_check.py", "slow/fit/test_simulated.py", "ca/test_cli_status.py",
    "ca/test_follow.py", "slow/test_time_limits.py", "bluesky/test_fit_real.py", "campaigns/test_disk.py",
    "bluesky/test_calibrate_travel.py", "ca/test_model_command.py",
    "bluesky/test_mirror_service.py", "bluesky/test_mirror.py", "bluesky/test_real_images.py",
    "bluesky/test_travelling_runs.py", "bluesky/test_profile.py",
)  # fmt: skip
"""Files of tests that take half a minute or more."""


def pytest_collection() -> None:
    """Collect no garbage meanwhile: there is hardly any, and each collection takes longer the more tests there are."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long files first, so that no worker is still busy with one when the others have nothing to do."""
    root = Path(__file__).parent
    ranks = {root / name: rank for rank, name in enumerate(_LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(_LONG)))


def pytest_collection_finish() -> None:
    """Collect garbage less often: the libraries of a session make so many objects that it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 20, 100)
    gc.enable()


_HEAVY = (
    "pyfai_without_qt", "ophyd", *WITHOUT_LIBRARY_OF_CA, "ponikeeper_client._ioc_history",
    "ponikeeper_client.report", "tiled.client.array", "tiled.client.dataframe", "bluesky_tiled_plugins",
    "ponikeeper_client.fit.command", "ponikeeper_client.fit.figure", "ponikeeper_client.fit.plan_command",
    "ponikeeper_client.model.command", "ponikeeper_client.recall",
    "fabio", "h5py", "networkx", "pandas", "matplotlib.backends.backend_agg", "matplotlib.dates", "contourpy",
    "PIL.JpegImagePlugin", "pyFAI.goniometer", "pyFAI.integrator.azimuthal", "pyFAI.io.ponifile",
)  # fmt: skip
"""What commands load that fit, draw, or read runs."""


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Leave what a module has loaded out of later collections: each integrator of pyFAI makes one."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in memory, where there is one: most tests of a store are not about the disk."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="ponikeeper-") as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("quick")


@pytest.fixture
def quick_path(quick_folder: Path) -> Iterator[Path]:
    """Return a folder for one test in `quick_folder`."""
    with tempfile.TemporaryDirectory(dir=quick_folder) as folder:
        yield Path(folder)


@pytest.fixture
def make_small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a size that mount takes, such as 16k; skips where that is not allowed."""
    with contextlib.ExitStack() as mounted:

        def make(size: str) -> Path:
            folder = Path(tempfile.mkdtemp(prefix="small-", dir=tmp_path))
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
            mounted.callback(subprocess.run, ["umount", str(folder)], check=True)
            return folder

        yield make


@contextlib.contextmanager
def _making(folder: Path, forks: Forks) -> Iterator[Callable[..., LiveIoc]]:
    made: list[tuple[LiveIoc, int]] = []

    def make(**options: object) -> LiveIoc:
        name, port = next(_names), _free.pop(0)
        ioc = LiveIoc(folder / name, port, name, **{"forks": forks, **options})  # type: ignore[arg-type]
        made.append((ioc, port))
        return ioc

    yield make
    for ioc, port in made:
        ioc.kill()
        _free.append(port)
    assert [ioc.warnings() for ioc, _ in made if ioc.warnings()] == []


@contextlib.contextmanager
def _making_motors() -> Iterator[Callable[[], Motors]]:
    made: list[Motors] = []

    def make() -> Motors:
        made.append(Motors(f"{next(_names)}:", _free.pop(0)))
        return made[-1]

    yield make
    for motors in made:
        motors.kill()
        _free.append(motors.port)


@pytest.fixture
def make_ioc(quick_path: Path, forks: Forks) -> Iterator[Callable[..., LiveIoc]]:
    """Make IOCs that are not started yet; they end with the test."""
    with _making(quick_path, forks) as make:
        yield make


@pytest.fixture(scope="module")
def make_ioc_for_module(quick_folder: Path, forks: Forks) -> Iterator[Callable[..., LiveIoc]]:
    """Make IOCs that are not started yet; they end with the last test of the module."""
    with _making(quick_folder, forks) as make:
        yield make


@pytest.fixture(params=["relay", *(["gateway"] if PROGRAM else [])])
def gateway_to(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[LiveIoc], Gateway]]:
    """Start a gateway with a cache in front of an IOC: a relay, and EPICS' own where it is installed."""
    program = PROGRAM if request.param == "gateway" else None
    with contextlib.ExitStack() as started:

        def start(ioc: LiveIoc) -> Gateway:
            port = _free.pop()
            started.callback(_free.append, port)
            return started.enter_context(Gateway(tmp_path / f"gateway{port}", port, ioc, program))

        yield start


@pytest.fixture
def session_port() -> Iterator[int]:
    """Return a port on which the clients of this session search, for a server that is none of ours."""
    port = _free.pop()
    yield port
    _free.append(port)


@pytest.fixture
def make_motors() -> Iterator[Callable[[], Motors]]:
    """Make sets of simulated linked PVs that are not served yet; they end with the test."""
    with _making_motors() as make:
        yield make


@pytest.fixture(scope="module")
def make_motors_for_module() -> Iterator[Callable[[], Motors]]:
    """Make sets of simulated linked PVs that are not served yet; they end with the last test of the module."""
    with _making_motors() as make:
        yield make


@pytest.fixture(scope="module")
def motors() -> Iterator[Motors]:
    """One set of simulated linked PVs for all tests of a module; they leave it served."""
    with _making_motors() as make:
        yield make().start()


@pytest.fixture(scope="session")
def ioc(quick_folder: Path, forks: Forks) -> Iterator[LiveIoc]:
    """One live IOC of two detectors for the whole session; tests leave it serving."""
    with serving(LiveIoc(quick_folder / "ioc", _free.pop(0), next(_names), forks=forks)) as live:
        yield live


class _Farm:
    """Live IOCs of many detectors; the next one starts when every detector is taken.

    A module takes the detectors of two of them at most: those before are ended, except for the first.
    """

    def __init__(self, folder: Path, forks: Forks, started: contextlib.ExitStack) -> None:
        self._folder, self._forks, self._started = folder, forks, started
        self.iocs: list[LiveIoc] = []
        self._start()

    def fresh(self) -> str:
        """Return the prefix of a detector that no test has used."""
        if not self._prefixes:
            self._start()
        return self._prefixes.pop(0)

    def _start(self) -> None:
        for used in self.iocs[1:-1]:
            used.kill()
        detectors = tuple(f"{{Det:{number}}}Calib:" for number in range(_FARMED))
        name = next(_names)
        ioc = LiveIoc(self._folder / f"farm{name}", _free.pop(0), name, detectors, forks=self._forks)
        self.iocs.append(self._started.enter_context(serving(ioc)))
        self._prefixes = list(ioc.prefixes)


@pytest.fixture(scope="session")
def _farm(quick_folder: Path, forks: Forks) -> Iterator[_Farm]:
    with contextlib.ExitStack() as started:
        yield _Farm(quick_folder, forks, started)


@pytest.fixture(scope="session")
def farm(_farm: _Farm) -> LiveIoc:
    """One live IOC of many detectors, which tests leave serving; see `fresh_prefix`."""
    return _farm.iocs[0]


@pytest.fixture(scope="session")
def fresh_prefix(_farm: _Farm) -> Callable[[], str]:
    """Return a function: each call returns the prefix of a detector on a live IOC that no test has used."""
    return _farm.fresh


@pytest.fixture
def ioc_of(_farm: _Farm) -> Callable[[str], LiveIoc]:
    """Return a function: the IOC that serves a prefix of `fresh_prefix`; it need not be `farm`."""
    return lambda prefix: next(ioc for ioc in _farm.iocs if prefix in ioc.prefixes)


@pytest.fixture
def prefix(fresh_prefix: Callable[[], str]) -> str:
    """Return the prefix of a detector on a live IOC that no test has used."""
    return fresh_prefix()


@pytest.fixture(scope="session")
def forks(testrun_uid: str) -> Iterator[Forks]:
    """Start IOCs and commands without the start-up time of an interpreter."""
    with Forks(shared=testrun_uid) as forks:
        yield forks


@pytest.fixture(scope="session")
def heavy_forks(testrun_uid: str) -> Iterator[Forks]:
    """Start commands that fit, draw, or read runs without the time that their libraries take."""
    with Forks(*_HEAVY, shared=f"{testrun_uid}-heavy") as forks:
        yield forks


def pytest_sessionfinish() -> None:
    """Wait for the processes that other workers may still use."""
    wait_for_shared()


@pytest.fixture(scope="session")
def call(forks: Forks) -> Shell:
    """Run a command of the command line and wait for it."""
    return Shell(forks)


@pytest.fixture(scope="session")
def call_heavy(heavy_forks: Forks) -> Shell:
    """Run a command as `call` does, with the libraries of fits, models, figures and catalogs loaded."""
    return Shell(heavy_forks)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images; the test is skipped where it is missing."""
    if not (REAL_DATA / "real" / "manifest.json").exists():
        pytest.skip(f"the real images are not in {REAL_DATA}")
    return REAL_DATA / "real"
