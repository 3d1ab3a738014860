"""A disk that is full, read-only, failing or hung: a put is refused or stored and reported so, and reads go on."""

import shutil
import signal
import subprocess
import threading
from collections.abc import Callable

import caproto as ca
import pytest

from live import TIMEOUT, LiveIoc, wait_for
from ponikeeper.protocol import Result
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME
from strategies import VALUES
from trouble import Stopwatch, fill, has_ended, inside, mounting, require_namespaces, require_strace, seen_by, syncs
from wire import Wire, new_request

STATUS, MESSAGE = "{IOC}Storage:Status_RBV", "{IOC}Storage:Message_RBV"


@pytest.fixture
def ioc(make_ioc) -> LiveIoc:
    """Make an IOC that is not started yet."""
    return make_ioc()


def is_failed(wire: Wire, ioc: LiveIoc) -> bool:
    return wire.get_text(ioc.name + STATUS) == "FAILED"


def is_ok(wire: Wire, ioc: LiveIoc) -> bool:
    return wire.get_text(ioc.name + STATUS) == "OK"


def require_failed_soon(wire: Wire, ioc: LiveIoc) -> None:
    watch = Stopwatch()
    wait_for(lambda: is_failed(wire, ioc), what="the alarm")
    print(f"message after {watch.read():.2f} s: {wire.get_text(ioc.name + MESSAGE)}")
    assert wire.get_severity(ioc.name + STATUS) is ca.AlarmSeverity.MAJOR_ALARM


def require_refused(wire: Wire, ioc: LiveIoc, because: str) -> None:
    before = wire.snapshot(ioc.prefix)
    result = wire.transact(ioc.prefix, new_request({"dist": before.geometry.dist + 0.01 if before.geometry else 1.0}))
    assert result.outcome == "refused"
    assert because in result.errors[0], result.errors
    assert "not stored, the active geometry is unchanged" in result.errors[0]
    assert wire.snapshot(ioc.prefix) == before


def require_accepted(wire: Wire, ioc: LiveIoc, dist: float) -> None:
    assert wire.transact(ioc.prefix, new_request({**VALUES, "dist": dist})).outcome == "accepted"
    geometry = wire.snapshot(ioc.prefix).geometry
    assert geometry is not None
    assert geometry.dist == dist


def test_full_disk_refuses_commits_and_is_taken_up_again_when_there_is_room(ioc):
    require_namespaces()
    ioc.state_dir.mkdir()
    ioc.start(mounting(f"mount -t tmpfs -o size=1m tmpfs {ioc.state_dir}"))
    with Wire(ioc.port) as wire:
        require_accepted(wire, ioc, 0.5)
        filler = seen_by(ioc, ioc.state_dir / "filler")
        fill(filler)
        require_failed_soon(wire, ioc)  # before anybody puts
        require_refused(wire, ioc, "database or disk is full; free space on the disk")
        filler.unlink()
        wait_for(lambda: is_ok(wire, ioc), what="recovery without a restart")
        require_accepted(wire, ioc, 0.6)


def test_disk_turned_read_only_refuses_commits_and_is_taken_up_again(ioc):
    require_namespaces()
    ioc.state_dir.mkdir()
    ioc.start(mounting(f"mount -t tmpfs tmpfs {ioc.state_dir}"))
    with Wire(ioc.port) as wire:
        require_accepted(wire, ioc, 0.5)
        # over it: a mount with a file that is open for writing cannot be turned itself
        inside(ioc, "mount", "--bind", "-o", "ro", str(ioc.state_dir), str(ioc.state_dir))
        require_failed_soon(wire, ioc)
        require_refused(wire, ioc, "that accept writes")
        inside(ioc, "umount", str(ioc.state_dir))
        wait_for(lambda: is_ok(wire, ioc), what="recovery without a restart")
        require_accepted(wire, ioc, 0.6)


def test_start_on_a_read_only_disk_serves_the_active_geometry(ioc):
    require_namespaces()
    with Wire(ioc.start().port) as wire:
        require_accepted(wire, ioc, 0.5)
        before = wire.snapshot(ioc.prefix)
    ioc.kill()
    read_only = (f"mount --bind {ioc.state_dir} {ioc.state_dir}", f"mount -o remount,bind,ro {ioc.state_dir}")
    ioc.start(mounting(*read_only))
    with Wire(ioc.port) as wire:
        assert wire.snapshot(ioc.prefix) == before
        require_failed_soon(wire, ioc)
        require_refused(wire, ioc, "that accept writes")
        inside(ioc, "mount", "-o", "remount,bind,rw", str(ioc.state_dir))
        wait_for(lambda: is_ok(wire, ioc), what="recovery without a restart")
        require_accepted(wire, ioc, 0.6)


def test_state_dir_that_cannot_be_made_ends_with_one_sentence(ioc):
    ioc.state_dir.write_text("a file stands where the directory is to be")
    quiet = {**ioc.environment(), "PYTHONWARNINGS": "ignore"}  # as a user's environment is
    ended = subprocess.run(ioc.command(), env=quiet, capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 4
    assert ended.stderr.splitlines() == [
        f"{ioc.state_dir} cannot be used as state_dir: File exists; expected a directory that this user may write"
    ]


def in_thread(ioc: LiveIoc, request: object) -> threading.Thread:
    """Put without waiting."""

    def put() -> None:
        try:
            with Wire(ioc.port) as wire:
                wire.transact(ioc.prefix, request)  # type: ignore[arg-type]
        except OSError:
            pass  # the IOC may be ended meanwhile

    thread = threading.Thread(target=put)
    thread.start()
    return thread


def result_of(wire: Wire, ioc: LiveIoc, request: str, wanted: Callable[[Result], bool]) -> Result:
    found = wait_for(
        lambda: [result for result in wire.results(ioc.prefix) if result.request == request and wanted(result)],
        what=f"the result of {request}",
    )
    return found[0]


def is_final(result: Result) -> bool:
    return result.outcome != "undetermined"


def is_stored(ioc: LiveIoc, request: str) -> bool:
    """Check whether a restart would find a request's row, on a copy of what is on the disk now."""
    copy = ioc.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ioc.state_dir, copy)
    storage = SQLiteStorage(copy / NAME)
    try:
        return storage.answer(ioc.prefix, request) is not None
    finally:
        storage.close()


FAULTS = [*(f"error=EIO:when={number}" for number in range(1, 7)), *(f"error=EIO:when={n}+" for n in range(1, 6))]


def test_failing_sync_is_refused_and_absent_or_accepted_and_present(ioc):
    require_strace()
    outcomes = {}
    with Wire(ioc.start().port) as wire:
        require_accepted(wire, ioc, 0.5)
        for number, fault in enumerate(FAULTS):
            request = new_request({"dist": 0.1 + number / 1000})
            key = str(request.request)
            with syncs(ioc, fault) as log:
                thread = in_thread(ioc, request)
                result = result_of(wire, ioc, key, lambda _: True)
                early = result.outcome
            result = result_of(wire, ioc, key, is_final)
            thread.join(TIMEOUT)
            assert is_stored(ioc, key) == (result.outcome == "accepted"), (fault, result, log.read_text())
            wait_for(lambda: is_ok(wire, ioc), what="recovery")
            outcomes[fault] = early if early == result.outcome else f"{early}, then {result.outcome}"
        last = wire.snapshot(ioc.prefix)
    print(outcomes)
    assert {"refused", "accepted"} <= {outcome for text in outcomes.values() for outcome in text.split(", then ")}
    ioc.kill()
    with Wire(ioc.start().port) as wire:
        assert wire.snapshot(ioc.prefix) == last


def test_hung_disk_is_reported_and_the_result_follows(ioc):
    require_strace()
    with Wire(ioc.start().port) as wire:
        require_accepted(wire, ioc, 0.5)
        before = wire.snapshot(ioc.prefix)
        request = new_request({"dist": 0.6})
        with syncs(ioc, "delay_enter=3000000:when=1"):
            watch = Stopwatch()
            thread = in_thread(ioc, request)
            result_of(wire, ioc, str(request.request), lambda result: result.outcome == "undetermined")
            print(f"undetermined after {watch.read():.2f} s")
            require_failed_soon(wire, ioc)
            assert wire.snapshot(ioc.prefix) == before  # reads go on, and nothing is shown that is not stored
            assert result_of(wire, ioc, str(request.request), is_final).outcome == "accepted"
            thread.join(TIMEOUT)
        assert [result.request for result in wire.results(ioc.prefix)].count(request.request) == 1
        wait_for(lambda: is_ok(wire, ioc), what="recovery")


def test_sigterm_ends_it_while_the_disk_hangs(ioc):
    require_strace()
    with Wire(ioc.start().port) as wire:
        require_accepted(wire, ioc, 0.5)
        request = new_request({"dist": 0.6})
        with syncs(ioc, "delay_enter=60000000:when=1"):
            thread = in_thread(ioc, request)
            result_of(wire, ioc, str(request.request), lambda result: result.outcome == "undetermined")
            watch = Stopwatch()
            ioc.signal(signal.SIGTERM)
            assert ioc.process is not None
            pid = ioc.process.pid
            wait_for(lambda: has_ended(pid), what="the end")
            took = watch.read()
        assert ioc.stop() == 1
        thread.join(TIMEOUT)
    print(f"ended {took:.2f} s after SIGTERM")
    assert took < 2.0
    with Wire(ioc.start().port) as wire:
        assert wire.snapshot(ioc.prefix).geometry is not None
