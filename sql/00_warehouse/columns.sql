-- The columns of each table, with the table's name quoted where SQL needs it.
SELECT
    table_schema || '.'
    || CASE WHEN regexp_full_match(table_name, '[a-z_][a-z0-9_]*') THEN table_name ELSE '"' || table_name || '"' END AS name,
    column_name,
    data_type
FROM information_schema.columns
WHERE table_catalog = current_database()
