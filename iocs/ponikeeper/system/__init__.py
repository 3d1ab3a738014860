"""What the operating system offers: the journal, atomic file writes, process statistics."""
