"""The command that shows the active geometry: show."""

from ponikeeper.cli.console import AsJson, Prefix, ca_client, out, print_text, run_ca


def show(prefix: Prefix, as_json: AsJson = False) -> None:
    """Show the active geometry, its status and provenance: ponikeeper show 'XF:28ID1-ES{Det:PE1}Calib:'."""
    snapshot = run_ca(ca_client().read_snapshot(prefix))
    if as_json:
        print_text(snapshot.as_json())
    else:
        from ponikeeper.cli.rendering import snapshot_table

        out().print(snapshot_table(snapshot))
