"""Calibration from one image of a powder standard, from a geometry that is roughly known."""
