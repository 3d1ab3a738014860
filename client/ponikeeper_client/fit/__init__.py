"""Calibration from one image of a powder standard, from a geometry that is roughly known or from nothing.

`fit.fit_image` fits, `fit.measure_image` only measures; `calibrants.calibrant` finds a standard,
`start.Nominal` describes a start from a nominal distance, or without one. Modules with a leading underscore are
the steps of the fit: `_frame` (pixels on the detector), `_ridges` (points on rings), `_shapes` (beam spot and tilt),
`_comb` (distances), `_ring_assignment` and `_search` (rough parameters), `_ring_profiles`, `_control_points` and
`_refine` (exact ones), `_settle` (these, until nothing changes), `_acceptance` and `_uncertainty` (checks), and
`_attempts` (all of them, from the most probable on). `_profile_sums`, `_compiled` and `_passes` go over all pixels.
"""
