"""The Channel Access server and its PVs."""
