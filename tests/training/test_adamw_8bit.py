"""The recipe with weights in bfloat16 and 8-bit AdamW, against the formulas of its paper (arXiv 2110.02861)."""
