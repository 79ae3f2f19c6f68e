"""The benchmark: Stepline and plain Celery run the same batches of steps, on one machine, in one run."""
