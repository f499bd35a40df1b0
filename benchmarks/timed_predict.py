"""`python -m benchmarks.timed_predict predict ARGS` is `bertctl predict ARGS` that says how long its answers took."""

from typing import Any

from benchmarks.measure import clocked
from bert_cli.cli import main
from bert_cli.run.predict import Predictor

if __name__ == "__main__":
    stream = Predictor.stream

    def timed(*args: Any, **options: Any) -> Any:
        return clocked(stream(*args, **options))

    Predictor.stream = timed  # type: ignore[method-assign]
    main()
