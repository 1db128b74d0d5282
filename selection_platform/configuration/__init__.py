"""What a profile may say, what must hold between its parts, and what follows from it."""
