SELECT
    $method AS method,
    $pool::VARCHAR AS pool,
    $model AS model,
    $budget::INTEGER AS budget,
    $seed::INTEGER AS seed,
    $pool_size::INTEGER AS pool_size
