"""Sizes that training and the estimate of its memory share. It imports no torch, because `estimate` starts fast."""

LOGITS = 2**27
"""Logits of the loss that are computed at once. With the copies that are needed they take 10 bytes each in bfloat16."""
