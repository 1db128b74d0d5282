-- Would a cheaper scorer pick the same?
-- For each method: another model, the first checkpoints of LESS's warm-up, or one rater of SelectIT. Of every 100 picks,
-- how many the cheaper scorer picks too (with the lower end of the 95% interval), and how many a random draw would; the
-- rank correlation of the scores; and the cost, in percent of the dearer scorer's arithmetic. The rest of the card is in
-- the table.
-- Ask: selection-platform sql @cheaper_scorers
SELECT
    pool,
    model,
    method,
    proxy,
    budget,
    round(100 * shared / picks, 1) AS same,
    round(100 * share_low, 1) AS at_least,
    round(100 * by_chance, 1) AS by_chance,
    round(correlation, 3) AS correlation,
    round(100 * flops / whole_flops, 1) AS cost,
    good_enough
FROM reports.proxy_card
ORDER BY pool, model, method, budget, cost, proxy
