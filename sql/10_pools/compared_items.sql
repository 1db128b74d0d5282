SELECT unnest($compared::STRUCT(benchmark VARCHAR, items BIGINT)[], recursive := true)
