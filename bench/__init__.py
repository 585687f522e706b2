"""Benchmarks of pupil beside its peers; each is started by its npm script."""

import os

# As pupil sets it for its own: onnxruntime sends what it is used for to its makers.
os.environ['ORT_DISABLE_TELEMETRY'] = '1'
