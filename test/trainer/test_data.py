"""Packs: what is refused, what a batch holds, and the order of an epoch."""

import json
import os

import numpy as np
import pytest
import torch
from conftest import CLASSES, draw, write_pack

from trainer.data import Room, channel_statistics, gather, open_pack, read_ahead, spread
from trainer.errors import Failure

CPU = torch.device('cpu')


def test_a_batch_holds_the_pictures_and_labels_of_its_samples(tmp_path):
    images, _ = draw(6, 16, seed=0)
    # One picture under two labels, as in a student's set.
    folder = write_pack(tmp_path / 'pack', images, [(5, 1), (0, 2), (0, 3), (3, 0)])
    pack = open_pack(folder, 16, CLASSES, CPU)
    assert len(pack) == 4
    batch, labels, rows = gather(pack, torch.tensor([2, 0, 1]))
    assert np.array_equal(batch.numpy(), images[[0, 5, 0]])
    assert labels.tolist() == [3, 1, 2]
    assert rows.tolist() == [0, 5, 0]


def test_mean_and_deviation_are_those_of_all_pixels(packs):
    pack = open_pack(packs / 'train', 32, CLASSES, CPU)
    pixels = pack.images.numpy().reshape(-1, 3) / 255
    mean, deviation = channel_statistics(pack)
    assert mean == pytest.approx(pixels.mean(0), abs=1e-9)
    assert deviation == pytest.approx(pixels.std(0), abs=1e-9)


def test_a_channel_that_never_varies_does_not_divide_by_zero(tmp_path):
    folder = write_pack(tmp_path / 'pack', np.zeros((4, 16, 16, 3), np.uint8), [(0, 0), (1, 1)])
    assert channel_statistics(open_pack(folder, 16, CLASSES, CPU)) == ((0, 0, 0), (1, 1, 1))


def test_a_sample_of_pictures_is_spread_over_the_whole_pack(packs):
    pack = open_pack(packs / 'train', 32, CLASSES, CPU)
    assert torch.equal(spread(pack, pixels=4 * 32**2), pack.images[[0, 100, 200, 300]])
    assert torch.equal(spread(pack, pixels=10**9), pack.images)


@pytest.mark.skipif(not hasattr(os, 'sysconf'), reason='does not know how much memory there is')
def test_a_pack_larger_than_the_memory_is_read_from_the_disk(tmp_path):
    folder = write_pack(tmp_path / 'pack', *draw(8, 256, seed=0))
    images = 2 * os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // (256 * 256 * 3)
    os.truncate(folder / 'images.u8', images * 256 * 256 * 3)
    about = json.loads((folder / 'pack.json').read_text())
    (folder / 'pack.json').write_text(json.dumps({**about, 'images': images}))
    batch, _, _ = gather(open_pack(folder, 256, CLASSES, CPU), torch.tensor([7, 0]))
    assert batch.float().mean() > 0


def test_packs_take_of_the_room_that_there_is_until_the_next_does_not_fit():
    room = Room(100)
    assert [room.take(size) for size in (60, 60, 30, 20)] == [True, False, True, False]


def test_reading_ahead_changes_nothing_that_is_read(packs):
    pack = open_pack(packs / 'train', 32, CLASSES, CPU)
    samples = torch.tensor([399, 0, 7])
    read_ahead(pack, samples)
    batch, labels, rows = gather(pack, samples)
    assert torch.equal(batch, pack.images[rows])
    assert torch.equal(labels, pack.samples[samples, 1].long())


def test_says_when_a_pack_is_cut_off_while_it_is_read(tmp_path):
    folder = write_pack(tmp_path / 'pack', *draw(8, 16, seed=0))
    pack = open_pack(folder, 16, CLASSES, CPU)
    os.truncate(folder / 'images.u8', 5 * 16 * 16 * 3 + 1)
    with pytest.raises(Failure, match='became shorter') as refused:
        gather(pack, torch.tensor([0, 5]))
    assert refused.value.reason == 'data'


def test_refuses_a_pack_that_is_not_there(tmp_path):
    with pytest.raises(Failure, match='cannot be read') as refused:
        open_pack(tmp_path / 'nowhere', 16, CLASSES, CPU)
    assert refused.value.reason == 'data'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'size': 8}, 'bytes instead of'),
        ({'images': 7}, 'bytes instead of'),
        ({'samples': 3}, 'bytes instead of'),
        ({'version': 1}, 'version 1'),
        ({'classes': ['red', 'green', 'blue', 'pink']}, 'missing grey; unexpected pink'),
        ({'classes': ['green', 'red', 'blue', 'grey']}, 'the same names in another order'),
    ],
)
def test_refuses_a_pack_that_does_not_fit_its_description(tmp_path, change, message):
    folder = write_pack(tmp_path / 'pack', *draw(6, 16, seed=0))
    about = json.loads((folder / 'pack.json').read_text())
    (folder / 'pack.json').write_text(json.dumps({**about, **change}))
    with pytest.raises(Failure, match=message):
        open_pack(folder, 16, CLASSES, CPU)


@pytest.mark.parametrize('sample', [(6, 0), (0, 4), (-1, 0), (0, -1)])
def test_refuses_a_sample_of_an_image_or_label_that_is_not_there(tmp_path, sample):
    images, samples = draw(6, 16, seed=0)
    folder = write_pack(tmp_path / 'pack', images, [*samples, sample])
    with pytest.raises(Failure, match='names an image or a label that is not there'):
        open_pack(folder, 16, CLASSES, CPU)


def test_refuses_pictures_of_another_size_and_a_pack_without_samples(tmp_path):
    images, samples = draw(6, 16, seed=0)
    with pytest.raises(Failure, match='have 16 pixels a side where 32 were expected'):
        open_pack(write_pack(tmp_path / 'small', images, samples), 32, CLASSES, CPU)
    with pytest.raises(Failure, match='holds no sample'):
        open_pack(write_pack(tmp_path / 'empty', images, []), 16, CLASSES, CPU)


def test_refuses_a_description_that_is_not_one(tmp_path):
    folder = write_pack(tmp_path / 'pack', *draw(6, 16, seed=0))
    for text in ('{"images": 6', '[]', '{"version": 1}'):
        (folder / 'pack.json').write_text(text)
        with pytest.raises(Failure, match='does not describe a pack'):
            open_pack(folder, 16, CLASSES, CPU)
