"""Hashes the records of a CIFAR file in as many processes as there are cores: no listing can do without."""

import hashlib
import json
import os
import sys
import time
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path

RECORD, LABELS = 3074, 2
RECORDS_AT_ONCE = 4096


def hash_range(job: tuple[str, int, int]) -> int:
    """Hashes the records `first` to `last` of a file; returns how many there were."""
    file, first, last = job
    hashed = 0
    with Path(file).open('rb') as records:
        records.seek(first * RECORD)
        for start in range(first, last, RECORDS_AT_ONCE):
            data = memoryview(records.read(min(RECORDS_AT_ONCE, last - start) * RECORD))
            for at in range(0, len(data), RECORD):
                hashlib.sha256(data[at + LABELS : at + RECORD]).digest()
                hashed += 1
    return hashed


def main() -> None:
    file = sys.argv[1]
    records = Path(file).stat().st_size // RECORD
    cores = len(os.sched_getaffinity(0))
    bounds = [records * part // cores for part in range(cores + 1)]
    begun = time.perf_counter()
    with Pool(cores) as pool:
        hashed = sum(pool.map(hash_range, [(file, a, b) for a, b in pairwise(bounds)]))
    assert hashed == records
    print(json.dumps({'seconds': time.perf_counter() - begun}))


if __name__ == '__main__':
    main()
