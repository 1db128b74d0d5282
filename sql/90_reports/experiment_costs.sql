SELECT unnest(
    $rows::STRUCT(
        experiment VARCHAR, part VARCHAR, cpu_seconds DOUBLE, gpu_seconds DOUBLE, forward_flops DOUBLE,
        backward_flops DOUBLE
    )[],
    recursive := true
)
