"""The few Channel Access calls of the command line and of the linked PVs (aioca)."""

from ponikeeper.system.epics_library import prepare_library

prepare_library()
