"""The benchmarks, one a file: each holds a `Benchmark` with its samples, tools, examples and metric."""
