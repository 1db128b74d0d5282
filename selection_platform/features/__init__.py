"""Features of samples from a base model, computed once for all methods that need them."""
