"""Models, a geometry as a function of the position: fitted to calibrations, printed, drawn, exchanged with pyFAI."""
