"""How many puts may be open at once."""

from ponikeeper.pva import open_puts
from ponikeeper.pva.open_puts import OpenPuts


def test_puts_of_one_host_are_limited_and_others_go_on(monkeypatch):
    monkeypatch.setattr(open_puts, "PER_HOST", 2)
    puts = OpenPuts()
    assert [puts.begin("a") for _ in range(2)] == [None, None]
    assert puts.begin("a") == "2 puts of a are not finished: wait for their answers, then put again"
    assert puts.begin("b") is None
    puts.end("a")
    assert puts.begin("a") is None


def test_puts_of_all_hosts_are_limited(monkeypatch):
    monkeypatch.setattr(open_puts, "ALL", 2)
    puts = OpenPuts()
    assert [puts.begin(host) for host in "ab"] == [None, None]
    assert puts.begin("c") == "2 puts are not finished: wait for their answers, then put again"
    puts.end("b")
    assert puts.begin("c") is None
