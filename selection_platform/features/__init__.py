"""What a base model makes of each sample, computed once for every method that needs it."""
