"""Side-by-side measurements of the kit against the published scheme and plain forms; `python -m benchmarks`."""
