"""The Channel Access server and its PVs."""

from ponikeeper.system.epics_library import prepare_library

prepare_library()
