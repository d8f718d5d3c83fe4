"""`make bench`: figures from the running cluster, written to build/bench.json."""
