"""SQL statements, one a file, in folders numbered in the order of the data. `selection_platform.queries` reads them."""
