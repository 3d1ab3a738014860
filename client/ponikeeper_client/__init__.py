"""What runs in the bluesky session: the device that records a geometry, and the way back from a run."""
