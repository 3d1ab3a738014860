"""The Channel Access server and its PVs."""

from ponikeeper.system.epics_library import skip_setuptools

skip_setuptools()
