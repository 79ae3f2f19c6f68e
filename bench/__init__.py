"""The benchmark: Stepline beside plain Celery, or beside itself at another commit, on one machine, in one run."""
