-- The tables of the warehouse and their columns, with each table's name quoted where SQL needs it.
SELECT
    table_schema || '.' || CASE WHEN contains(table_name, '.') THEN '"' || table_name || '"' ELSE table_name END AS name,
    string_agg(column_name, ', ' ORDER BY ordinal_position) AS columns
FROM information_schema.columns
WHERE table_catalog = current_database()
GROUP BY ALL
ORDER BY ALL
