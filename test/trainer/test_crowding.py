"""
Threads move to one core where other work keeps the cores busy, and back, without a bit of difference in what they
compute.
"""

import os
import sys
import threading

import pytest
import torch

from trainer.config import parse_task
from trainer.crowding import GAIN, SHORTEST_PAUSE, Crowding, current_core, place_threads, seconds_waited, watch_crowding
from trainer.train import train

on_linux = pytest.mark.skipif(sys.platform != 'linux', reason='only Linux can be told where threads run')


class Machine:
    """
    A machine of two cores on which steps of 10 pictures take given seconds, by where the threads are; its clock is a
    number.
    """

    def __init__(self, spread: float, gathered: float, waiting: float):
        self.seconds = {False: spread, True: gathered}
        self.waiting = waiting
        self.clock = self.waited = 0.0
        self.moves: list[bool] = []
        self.crowding = Crowding(lambda: self.clock, lambda: self.waited, self.moves.append)

    def work(self, seconds: float) -> None:
        end = self.clock + seconds
        while self.clock < end:
            step = self.seconds[self.moves[-1] if self.moves else False]
            self.clock += step
            self.waited += step * self.waiting
            self.crowding.step_done(10)


def test_threads_that_wait_for_cores_are_moved_together_where_that_is_faster_and_it_is_said(emitted):
    machine = Machine(spread=0.5, gathered=0.05, waiting=0.9)
    machine.work(SHORTEST_PAUSE)
    assert machine.moves == [True]
    (note,) = emitted()
    assert 'take turns on one (200 images/s, 20 on all)' in note['message']


def test_they_go_back_where_it_is_no_faster_and_nothing_is_said(emitted):
    machine = Machine(spread=0.05, gathered=0.05 / GAIN + 0.001, waiting=0.5)
    machine.work(SHORTEST_PAUSE)
    assert machine.moves == [True, False]
    assert emitted() == []


def test_where_no_thread_waits_nothing_is_tried():
    machine = Machine(spread=0.5, gathered=0.05, waiting=0.1)
    machine.work(10 * SHORTEST_PAUSE)
    assert machine.moves == []


def test_they_are_on_all_cores_again_once_the_other_work_is_gone(emitted):
    machine = Machine(spread=0.5, gathered=0.05, waiting=0.9)
    machine.work(SHORTEST_PAUSE)
    machine.seconds = {False: 0.025, True: 0.05}
    machine.waiting = 0.0
    machine.work(20 * SHORTEST_PAUSE)
    assert machine.moves == [True, False]
    assert 'on all cores again (400 images/s, 200 in turn on one)' in emitted()[-1]['message']


def test_tries_that_are_slow_are_rare(emitted):
    machine = Machine(spread=20, gathered=1, waiting=0.9)
    machine.work(10_000)
    # All but the first from one core to all and back.
    tried = len(machine.moves) // 2
    assert tried * 2 * machine.seconds[False] < machine.clock / 20


@on_linux
def test_where_the_threads_run_changes_no_bit_of_the_weights(train_task, emitted, tmp_path):
    task = {**train_task, 'threads': 2, 'epochs': 1, 'evaluations': 1}
    train(parse_task(task))
    moved = {**task, 'checkpoint': str(tmp_path / 'moved.pt'), 'output': str(tmp_path / 'moved.safetensors')}
    cores, ended = os.sched_getaffinity(0), threading.Event()

    def move() -> None:
        while not ended.wait(0.01):
            place_threads({current_core()})
            place_threads(cores)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        train(parse_task(moved))
    finally:
        ended.set()
        mover.join()
        place_threads(cores)
    assert (tmp_path / 'moved.safetensors').read_bytes() == (tmp_path / 'run' / 'model.safetensors').read_bytes()


@on_linux
def test_all_threads_of_the_process_are_placed():
    cores = os.sched_getaffinity(0)
    core = current_core()
    assert core in cores
    try:
        place_threads({core})
        assert os.sched_getaffinity(0) == {core}
    finally:
        place_threads(cores)
    assert os.sched_getaffinity(0) == cores
    assert seconds_waited() >= 0


def test_one_thread_and_a_gpu_are_not_watched():
    assert watch_crowding(1, torch.device('cpu')) is None
    assert watch_crowding(4, torch.device('cuda:0')) is None
