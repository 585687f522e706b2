"""
The obvious way to select from score files: pyarrow reads them whole, numpy takes the best K of each class.
`python -m bench.peers.select_numpy JOB.json`.
"""

import hashlib
import itertools
import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as dataset


def main(job: dict[str, Any]) -> None:
    top_p, top_k = job['topP'], job['topK']
    columns = ['image', *(f'{kind}_{position}' for kind in ('class', 'log_prob') for position in range(1, top_p + 1))]
    table = dataset.dataset(job['files'], format='parquet').to_table(columns)
    images = table['image'].to_numpy().astype('S24')
    classes = np.concatenate([table[f'class_{position}'].to_numpy() for position in range(1, top_p + 1)])
    scores = np.concatenate([table[f'log_prob_{position}'].to_numpy() for position in range(1, top_p + 1)])
    rows = np.tile(np.arange(len(images), dtype=np.int32), top_p)

    by_class = np.argsort(classes, kind='stable')
    bounds = np.searchsorted(classes[by_class], np.arange(job['classes'] + 1))
    digest = hashlib.sha256()
    for start, end in itertools.pairwise(bounds):
        candidates = by_class[start:end]
        if len(candidates) > top_k:
            # All that are as good as the K-th: which of them stay is for their ids to say.
            least = np.partition(scores[candidates], len(candidates) - top_k)[len(candidates) - top_k]
            candidates = candidates[scores[candidates] >= least]
        best = candidates[np.lexsort((images[rows[candidates]], -scores[candidates]))][:top_k]
        digest.update(bytes.fromhex(b''.join(images[rows[best]]).decode()))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak_mb = usage.ru_maxrss / (1e6 if sys.platform == 'darwin' else 1e3)
    print(json.dumps({'cpuSeconds': usage.ru_utime + usage.ru_stime, 'peakMb': peak_mb, 'digest': digest.hexdigest()}))


if __name__ == '__main__':
    main(json.loads(Path(sys.argv[1]).read_text()))
