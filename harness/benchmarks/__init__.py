"""General benchmarks by the names people know: what each of them is, and how its rows become samples."""
