"""Sizes that training and the estimate of its memory share. It imports no torch, because `estimate` starts fast."""

ADAM = {"float32": (4, 8), "bfloat16": (2, 2)}
"""Bytes of a trained weight and of Adam's two moments, by the weight's number type: in bfloat16 moments have 8 bits."""

LOGITS = 2**27
"""Logits of the loss that are computed at once. With the copies that are needed they take 10 bytes each in bfloat16."""
