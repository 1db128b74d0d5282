-- The highest cosine with a target, as the library computed it into $similarity.
SELECT sample_id, similarity AS score, NULL::VARCHAR AS dropped FROM read_parquet($similarity)
