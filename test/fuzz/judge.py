"""
Judges what the trainer reads, in one process for many inputs: a request a line on stdin, an outcome a line on file descriptor 3.

Only a Failure may come out, and no bug by its reason. Nothing outside this process's folder may be written, and no program be started.
"""

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper

from trainer import checkpoint, events
from trainer.config import parse_task, read_message
from trainer.data import open_pack
from trainer.errors import Failure, explain
from trainer.import_weights import import_weights
from trainer.model_file import load_model
from trainer.models import build_network
from trainer.tasks import Architecture
from trainer.wrap_onnx import wrap

OUTCOMES = 3
CLASSES = ['ant', 'bee', 'cat', 'dog', 'elk', 'fox']
ARCHITECTURE: dict[str, Any] = {'name': 'resnet20', 'stem': 'small', 'size': 32, 'resize': 32, 'classes': CLASSES}
RUN = {'protocol': 1, 'device': 'cpu', 'threads': 1, 'seed': 0}
STARTING = {'subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'os.spawn', 'socket.connect'}
WRITING = {'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.link', 'os.symlink', 'os.truncate', 'os.chmod', 'os.chown'}

folder = Path.cwd()
trespasses: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: notes what is written outside the folder around the case (its temporary files lie there, too), and programs started."""
    if event in STARTING:
        trespasses.append(f'{event} {arguments!r}')
        return
    if event == 'open':
        mode, flags = arguments[1], arguments[2]
        writes = isinstance(mode, str) and any(letter in mode for letter in 'wax+')
        if not writes and not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
    elif event not in WRITING:
        return
    target = arguments[0]
    if isinstance(target, (str, bytes)):
        place = Path(os.path.realpath(os.fsdecode(target)))
        if not place.is_relative_to(folder.parent) and not place.is_relative_to('/dev'):
            trespasses.append(f'{event} {place}')


def imported(file: Path) -> Any:
    task = {**RUN, 'task': 'import', 'file': str(file), 'architecture': ARCHITECTURE, 'file_classes': None, 'mean': None, 'std': None}
    named = task if file.suffix == '.safetensors' else {**task, 'file_classes': CLASSES}
    output = folder / 'model.safetensors'
    import_weights(parse_task({**named, 'output': str(output)}))  # type: ignore[arg-type]
    load_model(output)
    return output.read_bytes()


def wrapped(file: Path) -> Any:
    task = {**RUN, 'task': 'wrap', 'file': str(file), 'size': 32, 'resize': 32, 'classes': CLASSES, 'file_classes': CLASSES}
    told = {'mean': None, 'std': None, 'input': 'auto', 'answer': 'auto', 'temperature': 1, 'kept': 3, 'output': str(folder / 'model.onnx')}
    wrap(parse_task({**task, **told}))  # type: ignore[arg-type]
    return (folder / 'model.onnx').read_bytes()


def restored(file: Path) -> Any:
    state = checkpoint.load(file, 'fuzz')
    return None if state is None else repr(sorted(state))


def mapped(place: Path) -> Any:
    pack = open_pack(place, 4, CLASSES, torch.device('cpu'))
    try:
        return [pack.images.sum().item(), pack.samples.tolist()]
    finally:
        if pack.file is not None:
            pack.file.close()


JUDGES: dict[str, Callable[[Path], Any]] = {
    'checkpoint': lambda place: imported(place / 'teacher.pt'),
    'safetensors': lambda place: imported(place / 'teacher.safetensors'),
    'state': lambda place: restored(place / 'checkpoint.pt'),
    'onnx': lambda place: wrapped(place / 'teacher.onnx'),
    'trainer-pack': mapped,
    'trainer-task': lambda place: repr(parse_task(read_message(place / 'task.json'))),
}


def outcome_of(judge: Callable[[Path], Any]) -> dict[str, str]:
    trespasses.clear()
    try:
        detail = judge(folder)
        kind = 'started anew' if judge is JUDGES['state'] and detail is None else 'taken'
        outcome = {'kind': kind, 'detail': hashlib.sha256(detail if isinstance(detail, bytes) else repr(detail).encode()).hexdigest()[:16]}
    except Exception as error:
        failure = explain(error)
        described = str(failure)[:2000] if isinstance(error, Failure) else ''.join(traceback.format_exception(error))[-4000:]
        outcome = {'kind': 'crash' if failure.reason == 'bug' else f'refused: {failure.reason}', 'detail': described}
    if trespasses:
        return {'kind': 'wrote outside', 'detail': '; '.join(trespasses)[:2000]}
    return outcome


def linear_network() -> onnx.ModelProto:
    """As small a teacher as can be: normalised floats in, logits out."""
    weights = np.random.default_rng(0).normal(0, 0.03, (12, len(CLASSES))).astype(np.float32)
    nodes = [
        helper.make_node('AveragePool', ['pictures'], ['quarters'], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node('Flatten', ['quarters'], ['features']),
        helper.make_node('MatMul', ['features', 'weights'], ['logits']),
    ]
    takes = [helper.make_tensor_value_info('pictures', TensorProto.FLOAT, ['batch', 3, 32, 32])]
    gives = [helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['batch', len(CLASSES)])]
    graph = helper.make_graph(nodes, 'linear', takes, gives, [numpy_helper.from_array(weights, 'weights')])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)


def draw_seeds() -> dict[str, str]:
    """Sound files of this trainer's own and of others', from which damaged ones are made."""
    torch.manual_seed(0)
    network = build_network(Architecture('resnet20', 'small', 32, 32, tuple(CLASSES)))
    weights = network.state_dict()
    torch.save(weights, folder / 'plain.pt')
    torch.save({'state_dict': {f'module.{name}': tensor for name, tensor in weights.items()}, 'epoch': 3, 'best': np.float64(0.5)}, folder / 'wrapped.pt')
    torch.save({'fingerprint': 'fuzz', 'epoch': 1, 'weights': {'fc.weight': weights['fc.weight']}, 'rng': torch.get_rng_state()}, folder / 'state.pt')
    safetensors.torch.save_file(weights, folder / 'plain.safetensors', {'classes': json.dumps(CLASSES), 'mean': '[0.5, 0.5, 0.5]', 'std': '[0.2, 0.2, 0.2]'})
    onnx.save(linear_network(), folder / 'linear.onnx')
    return {'kind': 'drawn', 'detail': ''}


def memory() -> int:
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') if sys.platform == 'linux' else 0


def main() -> None:
    global folder
    # They go to a whole group of processes; the parent closes stdin when the case is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    events.DESCRIPTOR = os.open(os.devnull, os.O_WRONLY)
    sys.addaudithook(watch)
    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request['folder']).resolve()
        if request['target'] == 'seeds':
            first = second = draw_seeds()
        else:
            judge = JUDGES[request['target']]
            first, second = outcome_of(judge), outcome_of(judge)
        answer = {'first': first, 'second': second, 'memory': memory()}
        # Exceptions that were caught inside libraries may hold a lone surrogate: ASCII takes it.
        os.write(OUTCOMES, (json.dumps(answer) + '\n').encode())


main()
