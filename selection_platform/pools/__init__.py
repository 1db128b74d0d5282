"""Reads pools: rows from their source, brought into one normal form, with every dropped row counted."""
