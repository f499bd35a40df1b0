"""bertctl and the incumbent side by side, `python -m benchmarks`: whole processes on equal terms that take turns."""
