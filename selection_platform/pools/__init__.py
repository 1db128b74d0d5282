"""Reading pools: rows as their source holds them, then one normal form, with every dropped row counted."""
