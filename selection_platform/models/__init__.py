"""Base models: where they come from, how they are loaded, and what a forward pass returns."""
