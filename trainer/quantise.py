"""Makes a faster form of an exported ONNX file: static int8 for CPUs, half precision for GPUs. Its signature stays."""

import contextlib
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from onnx import ModelProto, NodeProto

from . import stop
from .data import open_pack, read, spread_rows
from .device import has_int8_tiles
from .errors import Failure
from .publish import publish
from .raw_pixels import QUANTISATION, fold_normalisation, take_bytes
from .tasks import QuantiseTask

# What is computed in int8. Relu, Add and MaxPool among them: a residual block then stays in int8 from end to end, where
# each of them left in float would cost a conversion on both of its sides.
QUANTISED = ['Conv', 'Gemm', 'MatMul', 'Add', 'MaxPool', 'Relu', 'ReduceMean']
WEIGHTED = ('Conv', 'Gemm', 'MatMul')
# Log-probabilities tell apart what half precision rounds to the same.
ALWAYS_FLOAT32 = ['LogSoftmax', 'TopK']
CALIBRATION_IMAGES = 256
CALIBRATION_BATCH = 8
# Products of one sum of a convolution, from which on tiles outweigh laying its patches out as a matrix: of 256, 512,
# 1,024 and 2,048 the fastest for a ResNet-50.
LONG_SUM = 512


def quantise(task: QuantiseTask) -> dict[str, Any]:
    """
    The `quantise` task. Equal inputs make equal bytes. Raises Failure('device') where onnxruntime is not installed.
    """
    model = onnx.load(task.model)
    made = in_half_precision(model) if task.precision == 'fp16' else in_int8(task, model)
    # The quantiser writes a model of its own; what ours says of itself goes with it.
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    onnx.checker.check_model(made)
    publish(task.output, lambda file: file.write(made.SerializeToString(deterministic=True)))
    return {}


def in_half_precision(model: ModelProto) -> ModelProto:
    """Weights and activations in float16; pixels in and answers out as before."""
    try:
        from onnxruntime.quantization.onnx_model import ONNXModel
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise not_installed(error) from error
    converted = ONNXModel(convert_float_to_float16(model, keep_io_types=True, op_block_list=ALWAYS_FLOAT32))
    # It adds conversions at the end of the list of nodes, behind those that need them.
    converted.topological_sort()
    return converted.model


def in_int8(task: QuantiseTask, model: ModelProto) -> ModelProto:
    """
    Weights of each channel and activations of each tensor as 8-bit integers with fixed scales (static quantisation,
    Jacob et al., arXiv 1712.05877; Krishnamoorthi, arXiv 1806.08342): a scale that depended on the batch would make
    scores depend on it. Ranges of activations are those of calibration pictures less a hundred-thousandth at either
    end, so that single outliers widen none. Pixels are integers already: normalising them in float32 took a tenth of a
    ResNet-50's time. Changes `model`.
    """
    try:
        from onnxruntime.quantization import (
            CalibrationDataReader,
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
    except ImportError as error:
        raise not_installed(error) from error
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    pack = open_pack(task.calibration_pack, size, task.classes, torch.device('cpu'))
    rows = spread_rows(pack, pixels=CALIBRATION_IMAGES * pack.size**2)

    class Calibration(CalibrationDataReader):  # type: ignore[misc]
        """
        Batches of the pack, read when they are wanted. Asked for one at a time (the stride), so that only its
        activations are held.
        """

        def __init__(self) -> None:
            self.batches = rows.split(CALIBRATION_BATCH)
            self.next, self.end = 0, len(self.batches)

        def __len__(self) -> int:
            return len(self.batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.next, self.end = start_index, end_index

        def get_next(self) -> dict[str, np.ndarray] | None:
            stop.check()
            if self.next == self.end:
                return None
            self.next += 1
            return {'images': read(pack, self.batches[self.next - 1]).numpy()}

    is_folded = fold_normalisation(model)
    # It prints its progress and warns of a preparation that the exporter has done already.
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        output = Path(folder) / 'model.onnx'
        quantize_static(
            model,
            output,
            Calibration(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            nodes_to_exclude=[node.name for node in kept_in_float(model, task.ends_in_float)],
            per_channel=True,
            # Of all combinations the only one that is fast with and without 8-bit matrix instructions.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={'CalibStridedMinMax': 1, 'TensorQuantOverrides': QUANTISATION if is_folded else {}},
        )
        made = onnx.load(output)
    take_bytes(made)
    return moved(made, -1) if has_int8_tiles() else made


def moved(model: ModelProto, by: Literal[-1, 1]) -> ModelProto:
    """
    The network with the weights of layers with long sums one lower (`by` -1), and their zero points with them: every
    answer stays what it was. But onnxruntime then takes its matrix kernel, which knows a processor's 8-bit tiles (AMX),
    in place of a convolution kernel for weights around zero, which does not: a ResNet-50 is 1.17 times as fast. With 1
    it is as it was before.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != 'DequantizeLinear' or node.input[0] not in weights:
            continue
        tensor, zero = weights[node.input[0]], weights[node.input[2]]
        values, zeros = onnx.numpy_helper.to_array(tensor), onnx.numpy_helper.to_array(zero)
        # Symmetric weights go from -127 to 127, so that there is room below.
        if (
            values.dtype == np.int8
            and values.ndim == 4
            and values[0].size >= LONG_SUM
            and (zeros == (0 if by < 0 else -1)).all()
        ):
            tensor.CopyFrom(onnx.numpy_helper.from_array(values + np.int8(by), tensor.name))
            zero.CopyFrom(onnx.numpy_helper.from_array(zeros + np.int8(by), zero.name))
    return model


def kept_in_float(model: ModelProto, ends_in_float: bool) -> list[NodeProto]:
    """
    What comes before the first layer with weights (the normalisation of pixels) and after the last (the softmax). With
    `ends_in_float` those two layers as well, which lose most by rounding and, in large networks, take little of the
    time.
    """
    nodes = list(model.graph.node)
    layers = [place for place, node in enumerate(nodes) if node.op_type in WEIGHTED]
    if not layers:
        raise Failure('model', 'The network has no layer that could be computed in int8. Set score.precision to fp32.')
    first, last = layers[0], layers[-1]
    kept = nodes[:first] + nodes[last + 1 :]
    if ends_in_float:
        kept += [nodes[first], nodes[last]]
        kept += [node for node in nodes if node.op_type == 'Relu' and node.input[0] in nodes[first].output]
    return kept


def not_installed(error: ImportError) -> Failure:
    command = f'{sys.executable} -m pip install onnxruntime'
    return Failure(
        'device', f'Other precisions than fp32 need the Python package onnxruntime ({error}). Install it: {command}'
    )
