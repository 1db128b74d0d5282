-- Which models leave answers unfinished, or without an answer that can be found?
-- For each experiment and benchmark the share of answers, in percent, the lowest first.
-- Ask: selection-platform sql @cut_answers
SELECT
    experiment,
    benchmark,
    100 * max("value") FILTER (WHERE metric = 'answer_found') AS found,
    100 * max("value") FILTER (WHERE metric = 'ended') AS ended
FROM benchmarks.results
WHERE metric IN ('answer_found', 'ended')
GROUP BY ALL
ORDER BY found, ended, experiment, benchmark
