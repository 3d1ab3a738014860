"""The few Channel Access calls of the command line and of the linked PVs (aioca)."""
