"""A history of 5,000 revisions is exported and imported by another IOC: complete, with the durations."""

import time

import pytest

from ponikeeper.history.history_file import read
from stores import large_store

REVISIONS = 5000


@pytest.mark.campaign
def test_long_history_is_exported_verified_and_imported(make_ioc, call, tmp_path):
    ioc = make_ioc(detectors=("{Det:1}Calib:",))
    large_store(ioc.store, ioc.prefix, REVISIONS)
    ioc.start()
    file, other = tmp_path / "long.jsonl", tmp_path / "other.toml"
    other.write_text(ioc.config.read_text().replace(str(ioc.state_dir), str(tmp_path / "other")))
    for words in (("export", "history", ioc.prefix, "-o", file), ("verify", file), ("import", other, file)):
        began = time.monotonic()
        done = call(*words)
        print(f"{words[0]} of {REVISIONS} revisions: {time.monotonic() - began:.1f} s")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{REVISIONS} revisions, {REVISIONS} activations, 0 corrections" in done.stdout
    print(f"the file has {file.stat().st_size / 1e6:.1f} MB")
    assert read(file.read_bytes()).counts() == {"revision": REVISIONS, "activation": REVISIONS, "judgement": 0}
