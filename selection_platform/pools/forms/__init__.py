"""The forms that rows come in, and what is read of each: one normal form, whatever the source calls its parts."""
