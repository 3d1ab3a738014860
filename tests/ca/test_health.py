"""`ponikeeper health` against a live IOC: the exit codes of Nagios, and the text of Prometheus."""

import re
import signal

from live import wait_for
from speak import GEOMETRY, commit_text, get, request


def test_ioc_that_answers_is_ok_and_one_that_is_gone_is_critical(call, make_ioc, tmp_path):
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    request(ioc.prefix, commit_text("one", geometry=GEOMETRY))
    done = call("health", ioc.config, "--min-free", 0)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, data = done.stdout.rstrip("\n").partition(" | ")
    assert re.fullmatch(r"PONIKEEPER OK - the IOC answers, 1 detector, \d+ MB free for the history", head)
    numbers = dict(pair.split("=") for pair in data.split())
    assert float(numbers["storage_free_bytes"]) > 0
    assert float(numbers["clients"]) >= 0
    assert call("health", ioc.config, "--min-free", 1e9).returncode == 1

    written = tmp_path / "ponikeeper.prom"
    assert call("health", ioc.config, "--min-free", 0, "--prometheus", "-o", written).returncode == 0
    assert f'ponikeeper_up{{ioc="{ioc.config.stem}"}} 1\n' in written.read_text()
    assert f'ponikeeper_geometry_applies{{detector="{ioc.prefix}"}} 1\n' in written.read_text()

    of_detector = call("health", ioc.prefix)
    assert (of_detector.returncode, of_detector.stdout) == (
        0,
        f"PONIKEEPER OK - {ioc.prefix} UNWATCHED, no links are configured: nothing checks this geometry\n",
    )
    ioc.stop()
    gone = call("health", ioc.config, "--timeout", 0.5)
    assert (gone.returncode, gone.stdout) == (
        2,
        f"PONIKEEPER CRITICAL - the IOC of {ioc.config.stem} does not answer\n{ioc.prefix} does not answer\n",
    )
    assert call("health", ioc.prefix, "--timeout", 0.5).returncode == 2


def test_failing_part_is_a_warning_with_its_message(call, make_ioc):
    ioc = make_ioc(detectors=("{Det:1}Calib:",), access='write = ["127.0.0.1"]').start()
    ioc.give_access('file = "gone.acf"')
    ioc.signal(signal.SIGHUP)
    wait_for(lambda: "gone.acf" in get(f"{ioc.name}{{IOC}}Access:Message_RBV"))
    ioc.give_access("")
    done = call("health", ioc.config, "--min-free", 0)
    assert done.returncode == 1
    assert done.stdout.startswith("PONIKEEPER WARNING - Access FAILED: the previous rules stay active: ")


def test_geometry_counts_by_the_alarm_severity_of_its_status(call, prefix):
    done = call("health", prefix)
    assert done.returncode == 2
    assert done.stdout.startswith(f"PONIKEEPER CRITICAL - {prefix} UNSET, no geometry was ever committed")


def test_configuration_that_cannot_be_read_is_unknown(call, tmp_path):
    done = call("health", tmp_path / "none.toml")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith(f"PONIKEEPER UNKNOWN - {tmp_path / 'none.toml'}: No such file or directory")
