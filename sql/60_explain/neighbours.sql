-- The samples of a sample's pool with the highest cosine similarity of embeddings, and their first questions.
WITH similarities AS (
    SELECT
        pool,
        model,
        others.sample_id,
        list_cosine_similarity(others.embedding, mine.embedding) AS similarity
    FROM features.sample_embedding AS mine
    JOIN features.sample_embedding AS others USING (pool, model)
    WHERE mine.sample_id = $sample_id AND others.sample_id != $sample_id
),
nearest AS (
    SELECT *
    FROM similarities
    QUALIFY row_number() OVER (PARTITION BY pool, model ORDER BY similarity DESC, sample_id) <= $most
)
SELECT
    pool,
    model,
    sample_id,
    similarity,
    [message.content FOR message IN samples.messages IF message.role = 'user'][1] AS question
FROM nearest
LEFT JOIN pools.samples AS samples USING (pool, sample_id)
ORDER BY pool, model, similarity DESC, sample_id
