"""SQL statements, one a file, in folders numbered in the order of the data. `sql.queries` reads them."""
