"""Calibration from one image of a powder standard, starting from a geometry that is roughly known.

`fit.fit_image` fits, `fit.measure_image` only measures; `calibrants.calibrant` finds a standard,
`start.Nominal` describes a start from a nominal distance. Modules with a leading underscore are the steps of
the fit: `_frame` (pixels on the detector), `_ridges` (points on rings), `_search` and `_ring_assignment`
(rough parameters), `_control_points` and `_refine` (exact ones), `_acceptance` (checks of the result).
"""
