"""`python -m benchmarks.export MODEL FOLDER` writes FOLDER/onnx.onnx, and int8.onnx where ONNX Runtime is installed.

A throw-away export for the reference engines: any batch, any length. Prints the seconds that each file took.
"""

import importlib.util
import json
import sys
import time
import warnings
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main(model: str, folder: Path) -> None:
    """Export and report."""
    folder.mkdir(parents=True)
    seconds = {}
    began = time.perf_counter()
    _export(model, folder / "onnx.onnx")
    seconds["onnx"] = time.perf_counter() - began
    if importlib.util.find_spec("onnxruntime") is not None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        began = time.perf_counter()
        quantize_dynamic(folder / "onnx.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
        seconds["int8"] = time.perf_counter() - began
    print(json.dumps(seconds))


def _export(model: str, file: Path) -> None:
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    example = AutoTokenizer.from_pretrained(model)(["a fine film", "no"], padding=True, return_tensors="pt")
    free = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            kwargs=dict(example),
            f=file,
            dynamo=True,
            verbose=False,
            external_data=False,
            output_names=["logits"],
            dynamic_shapes={name: free for name in example},
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
