"""A history that ponikeeper 0.1 exported is read as it was written; its words for causes stay."""

from pathlib import Path

from ponikeeper.history.history_file import read

OLD = Path(__file__).with_name("export_of_0_1.jsonl")


def test_export_of_0_1_is_read():
    history = read(OLD.read_bytes())
    assert [(each.number, each.label, each.geometry.dist) for each in history.revisions] == [
        (1, "near", 0.2345),
        (2, "near", 0.2345),
        (3, "far", 0.3),
    ]
    assert [each.cause for each in history.activations] == ["commit", "here", "commit", "activate"]
    assert [(each.kind, each.revision, each.by) for each in history.corrections] == [("supersede", 3, 2)]
