"""The put log: one line of JSON for each put, and the sinks that store it."""
