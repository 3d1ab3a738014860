"""PVAccess (optional, p4p): the PVs of the IOC under the same names, and the structure ``Geometry`` of a detector."""
