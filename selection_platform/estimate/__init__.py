"""What a profile will cost on a machine, by arithmetic, before anything runs."""
