-- DuckDB's syntax tree of the SELECT statements in a text, as JSON.
SELECT json_serialize_sql($statement::VARCHAR)
