"""One HTML page about a detector, or about a run, that can be attached to a logbook.

>>> Path("pe1.html").write_text(detector_report("XF:28ID1-ES{Det:PE1}Calib:"))
>>> Path("run.html").write_text(run_report(catalog[uid]))
"""

from ponikeeper_client.report._detector import detector_report
from ponikeeper_client.report._run import run_report

__all__ = ["detector_report", "run_report"]
