"""onnxruntime from Python, Pillow decoding in a pool of threads. `python -m bench.peers.score_onnxruntime fp32 JOB`."""

import sys
from collections.abc import Iterator

import onnxruntime

from bench.pool import Job, decoded_batches, print_rounds, read_job


def scored(job: Job, precision: str) -> Iterator[int]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    # A thread that spins while it waits takes the core from a decoder.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    provider = 'CPUExecutionProvider' if job.device == 'cpu' else 'CUDAExecutionProvider'
    session = onnxruntime.InferenceSession(job.onnx[precision], options, [provider])
    for images in decoded_batches(job):
        session.run(None, {'images': images})
        yield len(images)


if __name__ == '__main__':
    job = read_job(sys.argv[2])
    print_rounds(job, scored(job, sys.argv[1]))
