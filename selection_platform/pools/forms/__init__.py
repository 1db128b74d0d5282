"""The forms of rows, and how each becomes the same normal form."""
