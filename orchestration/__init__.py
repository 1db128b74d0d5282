"""What decides what is due, runs it, cleans up and explains. The assets themselves are in `assets`."""
