"""Side-by-side runs of bertctl and the incumbent, one command: `python -m benchmarks`.

Both sides are whole processes on the same files, weights, seed, threads and examples per step, and take turns; a ratio
is the median over pairs of neighbours in time. Nothing here is imported by bertctl.
"""
