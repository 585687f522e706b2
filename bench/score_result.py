"""What bench:score found: the bound, the ratios to it and to the peers, as a table or as JSON."""

import argparse
from dataclasses import dataclass
from typing import Any

from bench.pool import Job
from bench.score_measured import Measured

OURS = ('decode', 'model', 'pupil')
ODD = 'pupil_odd'
FP32_PEERS = ('torch_fp32', 'onnxruntime_python')


@dataclass(frozen=True)
class Result:
    machine: str
    images: int
    """Different ones."""
    job: Job
    options: argparse.Namespace
    measured: dict[str, Measured]

    @property
    def anchors(self) -> list[str]:
        return [name for name in self.measured if name.startswith('openvino')]

    @property
    def peers(self) -> list[str]:
        return [name for name in self.measured if name not in (*OURS, ODD, *self.anchors)]

    @property
    def outside(self) -> float | None:
        """
        The share of pupil's CPU time that went neither into decoding nor into the network. None where the system does
        not tell.
        """
        pupil = self.measured['pupil']
        return (
            pupil.main_thread_seconds / pupil.cpu_seconds if pupil.main_thread_seconds and pupil.cpu_seconds else None
        )

    @property
    def bound(self) -> float:
        decode, model = self.measured['decode'].rate, self.measured['model'].rate
        return 1 / (1 / decode + 1 / model) if self.options.device == 'cpu' else min(decode, model)

    def against(self) -> dict[str, float]:
        """The rates that pupil's is compared with."""
        best = {'best_fp32_peer': [name for name in self.peers if name in FP32_PEERS], 'best_peer': self.peers}
        return {
            'bound': self.bound,
            **{title: max(self.measured[name].rate for name in names) for title, names in best.items()},
            **{name: self.measured[name].rate for name in self.anchors},
        }


def as_json(result: Result) -> dict[str, Any]:
    measured, options, job = result.measured, result.options, result.job
    return {
        'machine': result.machine,
        'images': result.images,
        'model': job.network,
        'size': job.size,
        'device': options.device,
        'precision': options.precision,
        'rates': {name: round(measured[name].rate, 2) for name in OURS},
        'peers': {name: round(measured[name].rate, 2) for name in result.peers},
        'anchors': {name: round(measured[name].rate, 2) for name in result.anchors},
        'bound': round(result.bound, 2),
        'ratios': {name: round(measured['pupil'].rate / rate, 3) for name, rate in result.against().items()},
        'odd': {'files': len(job.odd), 'rate': round(measured[ODD].rate, 2)} if job.odd else None,
        'outside_decoder_and_network': result.outside and round(result.outside, 4),
        'cpu_seconds_per_1000': {name: one.cpu_seconds and round(one.cpu_seconds, 2) for name, one in measured.items()},
        'peak_rss_mb': {name: one.peak_mb and round(one.peak_mb) for name, one in measured.items()},
    }


def print_table(result: Result) -> None:
    job, options = result.job, result.options
    title = f'{job.network}, {job.size} px, {options.precision}'
    print(f'{title:28} {"images/s":>9} {"CPU s / 1,000":>14} {"peak MB":>8} {"pupil / it":>11}')
    for title, names in (('', OURS), ('peers', result.peers), ('anchors', result.anchors)):
        if title and names:
            print(title)
        for name in names:
            one = result.measured[name]
            cpu_seconds = '-' if one.cpu_seconds is None else f'{one.cpu_seconds:.2f}'
            peak = '-' if one.peak_mb is None else f'{one.peak_mb:,.0f}'
            ratio = f'{result.measured["pupil"].rate / one.rate:.3f}' if name not in OURS else ''
            print(f'  {name:26} {one.rate:9,.1f} {cpu_seconds:>14} {peak:>8} {ratio:>11}')
    print(f'{"bound":28} {result.bound:9,.1f} {"":>14} {"":>8} {result.measured["pupil"].rate / result.bound:11.3f}')
    if job.odd:
        rate, without = result.measured[ODD].rate, result.measured['pupil'].rate
        among = f'With {len(job.odd):,} odd files among {len(job.images):,} pictures'
        print(f'{among} pupil scored {rate:,.1f} images/s, {rate / without:.3f} of what it did without.')
    if result.outside is not None:
        print(f'Of the CPU time of pupil {result.outside:.1%} went neither into its decoder nor into its network.')
