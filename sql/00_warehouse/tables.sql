-- Names as SQL has to write them.
SELECT table_schema || '.' || CASE WHEN contains(table_name, '.') THEN '"' || table_name || '"' ELSE table_name END
FROM information_schema.tables
WHERE table_catalog = 'warehouse'
