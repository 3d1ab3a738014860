"""The list of every PV that an IOC serves."""

from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS
from ponikeeper.site.pv_list import pv_list


def test_every_pv_is_listed_once(config):
    names = pv_list(config).splitlines()
    assert len(names) == len(set(names)) == len(IOC_PVS) + 2 * len(DETECTOR_PVS)
    assert "XF:28ID1-CT{IOC:Calib}Storage:Status_RBV" in names
    assert "XF:28ID1-ES{Det:PE2}Calib:Dist_RBV" in names
