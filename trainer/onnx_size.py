"""Keeps an ONNX model within the 2 GB that one file can hold."""

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from . import events
from .errors import Failure

# protobuf's limit, less room for the graph itself.
LARGEST_FILE = 2**31 - 2**25
# Norms and biases are few, and stay as they are.
LARGE_TENSOR = 2**16


def fit_in_one_file(model: ModelProto, largest: int = LARGEST_FILE) -> None:
    """
    Where the weights of `model` are too large, stores those of its large layers in half precision; they are single
    precision again before anything is computed. Raises Failure('model') where that is not enough.
    """
    if _size(model) <= largest:
        return
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) >= LARGE_TENSOR:
            name = tensor.name
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f'{name} in half precision')
            )
            casts.append(helper.make_node('Cast', [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if _size(model) > largest:
        raise Failure(
            'model',
            f'The network has {_size(model) / 1e9:.1f} GB of weights in half precision; an ONNX file holds 2 GB. '
            'Take a smaller one.',
        )
    events.note(
        'The ONNX file holds the large weights in half precision: as they are they would take more than the 2 GB '
        'that one file can hold.'
    )


def _size(model: ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)
