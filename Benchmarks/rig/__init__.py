"""The rig of Benchmarks/bench: programs under test, load, clocks, figures."""
