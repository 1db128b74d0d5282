SELECT DISTINCT experiment FROM experiments.plan WHERE experiment IS NOT NULL
