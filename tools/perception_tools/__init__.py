"""What people run: the `perception` command, training, evaluation, reports and benchmarks."""
