"""Base models: where they come from, how they are loaded, what one forward pass gives."""
