"""What `turnsmith bench NAME` runs: one file a benchmark, each writing `results/bench_NAME.json`."""
