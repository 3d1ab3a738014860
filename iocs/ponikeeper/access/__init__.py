"""Who may write: access rules and EPICS access security files."""
