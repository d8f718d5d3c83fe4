"""What the demo, the e2e tests and the benchmarks share: installing the chart, and kubectl with values in and out."""
