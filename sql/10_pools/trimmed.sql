SELECT unnest($trimmed::STRUCT(part VARCHAR, samples BIGINT)[], recursive := true)
