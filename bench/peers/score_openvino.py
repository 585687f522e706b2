"""
OpenVINO on the same ONNX files, Pillow decoding in a pool of threads. `python -m bench.peers.score_openvino
fp32|bf16|int8 JOB`.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

# Its own build of oneDNN fails where PyTorch's is held back to old instruction sets by this.
os.environ.pop('ONEDNN_MAX_CPU_ISA', None)

import openvino

from bench.pool import Job, decoded_batches, print_rounds, read_job


def scored(job: Job, precision: str) -> Iterator[int]:
    core = openvino.Core()
    # bf16 is a way to run the fp32 file; what an int8 file leaves in floats runs as OpenVINO likes best.
    model = core.read_model(job.onnx.get(precision, job.onnx['fp32']))
    model.reshape([job.batch_size, job.size, job.size, 3])
    hints: dict[str, Any] = {'PERFORMANCE_HINT': 'THROUGHPUT', 'INFERENCE_NUM_THREADS': job.threads}
    if precision != 'int8':
        hints['INFERENCE_PRECISION_HINT'] = {'fp32': 'f32', 'bf16': 'bf16'}[precision]
    queue = openvino.AsyncInferQueue(core.compile_model(model, 'CPU', hints))
    queue.set_callback(lambda request, _: [request.get_output_tensor(output).data.copy() for output in (0, 1)])
    for images in decoded_batches(job):
        # Waits where all of its requests are at work.
        queue.start_async([images])
        yield len(images)


if __name__ == '__main__':
    job = read_job(sys.argv[2])
    print_rounds(job, scored(job, sys.argv[1]))
