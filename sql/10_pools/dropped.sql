SELECT unnest($dropped::STRUCT(reason VARCHAR, samples BIGINT)[], recursive := true)
