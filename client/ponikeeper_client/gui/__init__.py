"""Start pyFAI-calib2 from a running plan, and check that it can open a window."""
