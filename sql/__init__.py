"""SQL statements, one per file, in folders numbered in the order of the data. `sql.queries` reads them."""
