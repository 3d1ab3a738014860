"""How values become text and are read back. Imports the standard library alone."""
