"""What this project uses of scipy: pyright takes seconds to infer its types from code without any.

A name that is missing here is an "unknown import symbol" of pyright: add it.
"""
