"""State to decisions: what may be done, what may be sent, what is told."""
