"""pyFAI-calib2 started from a running plan, and whether it can open a window."""
