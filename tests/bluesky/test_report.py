"""`ponikeeper report` writes one HTML page about a detector or a run, with everything escaped."""

import base64
import html.parser
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from bluesky import plans as bp

from imaging import VALUES, ImageDetector
from ponikeeper.protocol import Commit, Supersede
from ponikeeper_client.report import detector_report, run_report

COMMENT = "<script>alert('1')</script> & \"more\""
AUTHOR = "<b>bob"
SIGMA = {"names": ["dist", "poni1"], "lower": [4e-10, 0.0, 1e-12]}
VOID = {"meta", "img"}


class _Page(html.parser.HTMLParser):
    """Reads a page; fails where its elements are not nested as they are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.pictures = [], set(), [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(base64.b64decode(dict(attrs)["src"].removeprefix("data:image/png;base64,")))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture
def detector(make, prefix):
    device = make(ImageDetector, prefix, "pe1")
    provenance = {"method": "fit", "comment": COMMENT, "covariance": SIGMA, "author": AUTHOR}
    device.calib.transact(Commit(VALUES, provenance, "near", expect_revision=0))
    return device


@pytest.fixture
def count(run_engine, detector):
    def run(events):
        documents = []
        run_engine(bp.count([detector], events), lambda *document: documents.append(document))
        return documents

    return run


def whole(page):
    """Check that a page is escaped, and return it."""
    found = _Page(page)
    assert found.tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td", "img", "pre"),
        "footer",
    }
    assert all(picture.startswith(b"\x89PNG") for picture in found.pictures)
    return found


def test_page_of_a_detector_has_geometry_provenance_corrections_and_drift(detector):
    calib = detector.calib
    calib.set({"dist": 0.3}).wait(10)
    calib.transact(Supersede(1, 2, "the <wrong> wavelength"))
    page = whole(detector_report(calib.prefix))
    assert COMMENT in page.text
    for text in (
        "revision 2 of", "status: UNWATCHED", "dist 0.3 m 300 mm", "2 (active)", "Distance: 0.3", "near", AUTHOR,
        "revision 1 superseded by revision 2: the <wrong> wavelength", "Activations",
    ):  # fmt: skip
        assert text in page.text
    assert len(page.pictures) == 1


def test_page_shows_standard_deviations_of_a_fit(detector):
    page = whole(detector_report(detector.calib.prefix))
    assert "dist 0.2345 m 234.5 mm 0.02 mm" in page.text


def test_page_from_an_exported_history_needs_no_ioc(detector, tmp_path, call_heavy):
    file, page = tmp_path / "pe1.jsonl", tmp_path / "page.html"
    assert call_heavy("export", "history", detector.calib.prefix, "-o", str(file)).returncode == 0
    options = ("--history", str(file), "-o", str(page))
    done = call_heavy("report", detector.calib.prefix, *options, EPICS_CA_ADDR_LIST="127.0.0.1:1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not known: this page was made from a history, without the IOC" in whole(page.read_text()).text
    done = call_heavy("report", "X:other:", *options)
    assert (done.returncode, done.stderr.partition(": expected")[2]) == (1, " one of X:other:\n")


def test_page_of_a_detector_without_a_geometry(make, prefix):
    make(ImageDetector, prefix, "pe1")
    assert "status: UNSET" in whole(detector_report(prefix)).text


def test_page_of_a_run_has_every_event_and_what_is_known_now(detector, count, catalogs):
    uid = catalogs.insert(count(2))
    detector.calib.set({"dist": 0.3}).wait(10)
    detector.calib.transact(Supersede(1, 2, "the <wrong> wavelength"))
    for run in catalogs.runs(uid).values():
        page = whole(run_report(run))
        for text in (
            f"Geometry of run {uid}", "pe1 primary 1-2 revision 1 near UNWATCHED", "plan_name count",
            "pe1 primary 1-2: revision 2", "the <wrong> wavelength", "dist 0.2345 m 234.5 mm 0.02 mm",
            "pe1 primary 1: image and pattern",
        ):  # fmt: skip
            assert text in page.text
        assert len(page.pictures) == 1


def test_page_of_documents_says_why_there_is_no_picture(detector, count, tmp_path, call):
    documents = count(1)
    file = tmp_path / "pe1.jsonl"
    assert call("export", "history", detector.calib.prefix, "-o", str(file)).returncode == 0
    page = whole(run_report(documents, history=file))
    assert "no picture: this list has no images pe1_frame" in page.text
    assert page.pictures == []


def test_command_writes_the_page_of_a_run(detector, count, catalogs, servers, tmp_path, call_heavy):
    uid = catalogs.insert(count(1))
    parts = urlsplit(servers[0].uri)
    key = parse_qs(parts.query)["api_key"][0]
    address = catalogs.tiled.uri
    page = tmp_path / "run.html"
    done = call_heavy("report", uid, address, "-o", str(page), TILED_API_KEY=key)
    assert done.returncode == 0, done.stderr
    assert f"{page}: report of run {uid}" in done.stdout
    assert "revision 1 near" in whole(page.read_text()).text
    alone = call_heavy("report", uid)
    assert alone.returncode == 2
    assert f"{uid} is the uid of a run: expected its catalog, too: ponikeeper report {uid} http://" in alone.stderr
    wrong = call_heavy("report", "0" * 36, address, "-o", str(page), TILED_API_KEY=key)
    assert wrong.returncode == 1
    assert "has no run 000" in wrong.stderr
