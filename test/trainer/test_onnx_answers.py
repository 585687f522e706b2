"""What a graph's last operators tell of its answers, however they are averaged, scaled or renamed on the way."""

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from trainer.onnx_answers import told_of

# Two layers' values, and what a softmax makes of them.
BEGINNING = 'l = MatMul (x, w)  m = MatMul (x, w)  s = Softmax <axis: int = 1> (l)  t = Softmax <axis: int = 1> (m)  '


def told(ending: str):
    """Of `out`, made by an ending that may also use the constants `w` (3x3), `two` and `axis`."""
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[n,3] x) => (float[n,3] out)'
    model = onnx.parser.parse_model(f'{text} {{ {BEGINNING}{ending} }}')
    for name, value in {
        'w': np.eye(3, dtype=np.float32),
        'two': np.array(2, np.float32),
        'axis': np.array([1], np.int64),
    }.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return told_of(model, 'out')


@pytest.mark.parametrize(
    'ending',
    [
        'a = Add (s, t)  out = Div (a, two)',
        'a = Unsqueeze (s, axis)  b = Unsqueeze (t, axis)  c = Concat <axis: int = 1> (a, b)  out = ReduceMean '
        '<axes: ints = [1]> (c)',
        'out = Mul (two, s)',
        'out = Mean (s, t)',
        'out = Sum (s, t)',
        'out = Clip (s, two)',
        'k = Constant <value_float: float = 0.5> ()  a = Mul (s, k)  b = Mul (t, k)  out = Add (a, b)',
        'a = LogSoftmax <axis: int = 1> (l)  out = Exp (a)',
    ],
)
def test_a_softmax_anywhere_behind_sums_means_and_scales_makes_probabilities(ending):
    assert told(ending).kind == 'probabilities'


@pytest.mark.parametrize(
    'ending',
    [
        'out = Add (l, m)',
        'out = Div (l, two)',
        'out = Mul (two, l)',
        'r = Relu (l)  out = Mean (r, m)',
        'a = Sigmoid (l)  out = MatMul (a, w)',
        'q = Mul (l, m)  out = MatMul (q, w)',
    ],
)
def test_layers_and_sums_of_them_make_logits(ending):
    assert told(ending).kind == 'logits'


@pytest.mark.parametrize(
    'ending',
    [
        'out = Log (s)',
        'a = Add (s, t)  b = Max (a, two)  out = Log (b)',
        'a = LogSoftmax <axis: int = 1> (l)  out = Identity (a)',
    ],
)
def test_logarithms_of_probabilities_make_log_probabilities(ending):
    assert told(ending).kind == 'log_probabilities'


@pytest.mark.parametrize(
    ('ending', 'operator'),
    [
        ('out = Add (s, l)', 'Add'),
        ('out = Mul (s, t)', 'Mul'),
        ('out = MatMul (s, w)', 'MatMul'),
        ('out = Relu (l)', 'Relu'),
        ('a = Relu (s)  out = GlobalAveragePool (a)', 'GlobalAveragePool'),
        ('a = Log (s)  b = Log (t)  out = Mean (a, b)', 'Mean'),
        ('e = Exp (l)  z = ReduceSum (e, axis)  out = Div (e, z)', 'Div'),
        ('out = Div (two, l)', 'Div'),
        ('a = Neg (s)  out = Identity (a)', 'Neg'),
        ('out = Identity (x)', 'that is missing'),
    ],
)
def test_what_mixes_both_or_bends_them_is_unclear_and_named(ending, operator):
    found = told(ending)
    assert (found.kind not in ('logits', 'probabilities', 'log_probabilities'), found.operator) == (True, operator)
