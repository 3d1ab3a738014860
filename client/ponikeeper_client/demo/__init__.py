"""The demonstration: the whole path from a PONI to a run and back, with no hardware."""
