"""The verbs: the only floor that reads, writes and shows progress."""
