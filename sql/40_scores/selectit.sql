-- SelectIT (arXiv 2402.16705): how sure raters are that an answer follows its request. Higher is better.
--
-- token level: one prompt. With q the five digits' probabilities divided by their sum, and P = q ($softmax_twice:
--     P = softmax(q), what the published code does), the highest P_base belongs to the digit base (ties: the lower), and
--     the score is base * mean over the four other digits of (P_base - P_j): 0 to 5, or at most 1.279 when softmaxed.
-- sentence level: over five prompts, mean / (1 + $alpha * population standard deviation).
-- model level: mean of the sentence levels of $raters (model names), weighted by $weights: one per rater, on any scale,
--     because they are divided by their sum. (The published weights have two denominators, and sum to 1.78.)
--
-- $level is the level: 'token' (only prompt 1, so $alpha has no effect) and 'sentence' need one rater, 'model' needs one
-- or more. Invalid values are an error, and so is a sample that a rater did not rate exactly once with each prompt.
WITH raters AS (
    SELECT unnest($raters::VARCHAR[]) AS model, unnest($weights::DOUBLE[]) / list_sum($weights::DOUBLE[]) AS weight
    WHERE
        CASE
            WHEN coalesce($level::VARCHAR NOT IN ('token', 'sentence', 'model'), true)
                THEN error('SelectIT''s level is token, sentence or model')
            WHEN $level::VARCHAR != 'model' AND len($raters::VARCHAR[]) != 1
                THEN error('level ' || $level::VARCHAR || ' is of one rater: name one, or choose level model')
            WHEN list_unique($raters::VARCHAR[]) != len($raters::VARCHAR[])
                THEN error('a rater is named twice')
            WHEN len($raters::VARCHAR[]) != len($weights::DOUBLE[])
                THEN error('raters and weights differ in number')
            WHEN
                list_count($weights::DOUBLE[]) = len($weights::DOUBLE[])
                AND list_min($weights::DOUBLE[]) > 0
                AND isfinite(list_sum($weights::DOUBLE[]))
                AND isfinite($alpha::DOUBLE)
                AND $alpha::DOUBLE >= 0
                AND $softmax_twice::BOOLEAN IS NOT NULL
                THEN true
            ELSE error('there must be a rater, weights above 0, alpha of at least 0, and softmax_twice true or false')
        END
),
prompts AS (SELECT CASE WHEN $level::VARCHAR = 'token' THEN [1] ELSE [1, 2, 3, 4, 5] END AS numbers),
digits AS (
    SELECT
        sample_id,
        model,
        prompt,
        CASE
            WHEN
                list_count(probabilities) = 5
                AND len(probabilities) = 5
                AND list_min(probabilities) >= 0
                AND list_sum(probabilities) > 0
                AND isfinite(list_sum(probabilities))
                THEN probabilities
            ELSE error(
                'sample ' || sample_id || ', prompt ' || prompt || ', rater ' || model
                || ': the ratings are not five probabilities; materialise them anew'
            )
        END AS p
    FROM features.rating_probability, prompts
    WHERE pool = $pool AND model IN (SELECT model FROM raters) AND list_contains(numbers, prompt)
),
shares AS (
    SELECT
        sample_id,
        model,
        prompt,
        CASE WHEN $softmax_twice::BOOLEAN THEN [exp(x / list_sum(p)) FOR x IN p] ELSE p END AS parts
    FROM digits
),
token_level AS (
    SELECT
        sample_id,
        model,
        prompt,
        list_position(parts, list_max(parts))
        * list_sum([list_max(parts) - other FOR other IN parts]) / list_sum(parts) / 4 AS score
    FROM shares
),
-- In lists, because sums of floating-point numbers depend on the order.
sentences AS (
    SELECT sample_id, model, list(prompt ORDER BY prompt) AS rated, list(score ORDER BY prompt) AS scores
    FROM token_level
    GROUP BY sample_id, model
),
sentence_level AS (
    SELECT
        samples.sample_id,
        raters.model,
        raters.weight,
        CASE
            WHEN rated = numbers THEN list_avg(scores) / (1 + $alpha::DOUBLE * list_stddev_pop(scores))
            ELSE error(
                'sample ' || samples.sample_id || ' has prompts ' || coalesce(rated, [])::VARCHAR || ' of rater '
                || raters.model || ', not ' || numbers::VARCHAR || '; materialise its ratings anew'
            )
        END AS score
    FROM (SELECT sample_id FROM pools.samples WHERE pool = $pool) AS samples
    CROSS JOIN raters
    CROSS JOIN prompts
    LEFT JOIN sentences ON samples.sample_id = sentences.sample_id AND raters.model = sentences.model
)
-- No sample is dropped: a conversation that is cut is rated up to the cut.
SELECT sample_id, list_sum(list(weight * score ORDER BY model)) AS score, NULL::VARCHAR AS dropped
FROM sentence_level
GROUP BY sample_id
