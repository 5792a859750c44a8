"""Placeholder, replaced before first use."""
def export(*a): raise SystemExit("later")
