SELECT * REPLACE (make_timestamp((made_at * 1000000)::BIGINT) AS made_at)
FROM (
    SELECT unnest(
        $rows::STRUCT(
            asset VARCHAR, "partition" VARCHAR, run_id VARCHAR, made_at DOUBLE, data_version VARCHAR,
            wall_seconds DOUBLE, cpu_seconds DOUBLE, gpu_seconds DOUBLE, peak_memory_bytes BIGINT, bytes_written BIGINT,
            tokens BIGINT, forward_flops DOUBLE, backward_flops DOUBLE
        )[],
        recursive := true
    )
)
