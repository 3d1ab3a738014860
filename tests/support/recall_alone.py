"""Recall in an environment that has a catalog's client and nothing else of a site; prints what it found as JSON.

python recall_alone.py tiled URI UID
python recall_alone.py databroker DOCUMENTS.json

The run is that of `documents`: two geometries, and images within the events.
"""

import json
import sys
from pathlib import Path
from typing import Any


def summary(run: Any) -> list[list[Any]]:
    """Return revision, events and status of each geometry of a run."""
    from ponikeeper_client.recall import recorded

    return [[each.revision, list(each.seq_nums), each.status] for each in recorded(run)]


def of_tiled(uri: str, uid: str) -> dict[str, Any]:
    """Recall a run of a Tiled server."""
    from ponikeeper_client.images import CatalogImages
    from ponikeeper_client.recall._catalogs import each_run, open_catalog

    with open_catalog(uri) as catalog:
        found = {"recorded": summary(catalog[uid]), "every run": [summary(run) for run in each_run(catalog)]}
        frames = CatalogImages(catalog, 10.0).read(uid, "pe1_image")
        return {**found, "images": None if frames is None else frames.tolist()}


def of_databroker(path: str) -> dict[str, Any]:
    """Recall a run of databroker, in both forms in which it returns one."""
    from databroker import Broker

    documents = json.loads(Path(path).read_text(encoding="utf-8"))
    broker = Broker.named("temp")
    for kind, document in documents:
        broker.insert(kind, document)
    uid = documents[0][1]["uid"]
    return {"recorded": summary(broker[uid]), "every run": [summary(broker.v2[uid])]}


if __name__ == "__main__":
    print(json.dumps({"tiled": of_tiled, "databroker": of_databroker}[sys.argv[1]](*sys.argv[2:])))
