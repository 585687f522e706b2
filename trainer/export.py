"""Writes a classifier as one ONNX file that takes raw pixels, and PyTorch's own answers to compare it with."""

import json
import logging
from typing import Any, BinaryIO

import onnx
import torch
from torch import Tensor, nn

from . import stop
from .calibration import calibration_error, fitted_temperature
from .classifier import Classifier
from .data import Pack, gather, open_pack
from .device import open_device, use_full_float32
from .errors import Failure
from .model_file import load_model
from .onnx_size import fit_in_one_file
from .publish import publish
from .tasks import ExportTask


class Ranker(nn.Module):
    """
    What is exported: uint8 [batch, size, size, 3] in, the `kept` best log-probabilities at `temperature`, descending,
    and their classes (int32) out.
    """

    def __init__(self, classifier: Classifier, kept: int, temperature: float):
        super().__init__()
        self.classifier = classifier
        self.kept = kept
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classifier(images)
        if self.temperature != 1:
            logits = logits / self.temperature
        log_prob, classes = logits.log_softmax(1).topk(self.kept, dim=1)
        return log_prob, classes.int()


def export(task: ExportTask) -> dict[str, Any]:
    """The `export` task. Everything is computed in float32, and equal weights make equal bytes."""
    device = open_device(task.device, task.threads)
    use_full_float32()
    classifier = load_model(task.model)
    architecture = classifier.architecture
    if task.kept > len(architecture.classes):
        raise Failure(
            'config', f'kept: expected at most the {len(architecture.classes)} classes of the model, found {task.kept}'
        )
    pack = open_pack(task.validation_pack, architecture.size, architecture.classes, device)
    logits = logits_of(classifier.to(device), pack, task.batch_size)
    labels = pack.samples[:, 1].long().cpu()
    temperature = fitted_temperature(logits, labels) if task.temperature is None else task.temperature
    ranker = Ranker(classifier.cpu(), task.kept, temperature).eval()

    publish(task.output, lambda file: file.write(onnx_bytes(ranker)))
    stop.check()
    publish(task.reference, lambda file: write_reference(file, ranker.to(device), pack, task.batch_size))
    return {
        'images': len(pack.images),
        'temperature': temperature,
        'ece_before': calibration_error(logits, labels),
        'ece_after': calibration_error(logits / temperature, labels),
    }


@torch.inference_mode()
def logits_of(classifier: Classifier, pack: Pack, batch_size: int) -> Tensor:
    """
    Those of every sample of a pack, float32 [samples, classes] on the CPU. Raises Failure('model') where one is not
    finite.
    """
    batches = []
    for samples in torch.arange(len(pack)).split(batch_size):
        stop.check()
        batches.append(classifier(gather(pack, samples)[0]).cpu())
    logits = torch.cat(batches)
    if not logits.isfinite().all():
        raise Failure(
            'model',
            'The network answers NaN or infinity on validation pictures. Train it again, with a lower learning rate.',
        )
    return logits


def onnx_bytes(ranker: Ranker) -> bytes:
    """The serialised graph: input `images`, outputs `log_prob` and `class`, opset 18, no external data."""
    architecture = ranker.classifier.architecture
    # The exporter warns of every torchvision operator that it cannot register where torchvision is not installed.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    example = torch.zeros(2, architecture.size, architecture.size, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        ranker,
        (example,),
        dynamo=True,
        external_data=False,
        opset_version=18,
        input_names=['images'],
        output_names=['log_prob', 'class'],
        dynamic_shapes=({0: 'batch'},),
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    # The exporter records stack traces with this machine's paths: they are nobody's business, and would make equal
    # graphs differ.
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField('metadata_props')
        part.ClearField('doc_string')
    about = {
        'version': 1,
        'model': architecture.name,
        'size': architecture.size,
        'resize': architecture.resize,
        'kept': ranker.kept,
        'temperature': ranker.temperature,
        'classes': architecture.classes,
    }
    onnx.helper.set_model_props(model, {'pupil': json.dumps(about, ensure_ascii=False)})
    fit_in_one_file(model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


@torch.inference_mode()
def write_reference(file: BinaryIO, ranker: Ranker, pack: Pack, batch_size: int) -> None:
    """
    All images of the pack in row order: float32 log-probabilities [images, kept], then int32 classes [images, kept],
    little-endian.
    """
    answers = []
    for images in pack.images.split(batch_size):
        stop.check()
        answers.append([answer.cpu() for answer in ranker(images.to(pack.device))])
    log_prob, classes = (torch.cat(parts) for parts in zip(*answers, strict=True))
    file.write(log_prob.numpy().astype('<f4').tobytes())
    file.write(classes.numpy().astype('<i4').tobytes())
