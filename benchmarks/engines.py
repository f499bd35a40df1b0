"""bertctl's prediction with the network computed by ONNX Runtime or OpenVINO: the same tokens, batches and output.

`python -m benchmarks.engines --kind int8|f32|bf16 --exported FOLDER MODEL FILE --out OUT`; FOLDER comes from
`benchmarks.export`. Threads are those of OMP_NUM_THREADS.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.measure import clocked
from bert_cli.data.read import iter_records
from bert_cli.run.predict import load_predictor

Network = Callable[[dict[str, np.ndarray]], np.ndarray]


def main() -> None:
    """Answer and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--kind", choices=("int8", "f32", "bf16"), required=True)
    parser.add_argument("--exported", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    threads = int(os.environ["OMP_NUM_THREADS"])
    network = (
        onnxruntime(given.exported / "int8.onnx", threads)
        if given.kind == "int8"
        else openvino(given.exported / "onnx.onnx", threads, given.kind)
    )

    def model(**inputs: torch.Tensor) -> Any:
        arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
        return SimpleNamespace(logits=torch.from_numpy(network(arrays)))

    predictor = replace(load_predictor(given.model, device="cpu", offline=True), model=model)
    with given.out.open("w", encoding="utf-8") as out:
        for line in clocked(predictor.stream(iter_records(given.file), origin=given.file.name)):
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def onnxruntime(file: Path, threads: int) -> Network:
    """A session of ONNX Runtime on the CPU."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(["logits"], arrays)[0]


def openvino(file: Path, threads: int, precision: str) -> Network:
    """A compiled model of OpenVINO on the CPU; without the hint for precision it may compute in bf16 unasked."""
    from openvino import Core

    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    compiled = Core().compile_model(str(file), "CPU", hints)
    return lambda arrays: compiled(arrays)["logits"]


if __name__ == "__main__":
    main()
