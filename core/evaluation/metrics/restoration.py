"""Restoration of held-out images by a run, beside simple baselines."""

from typing import Final
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.metrics import Curves, Metrics, Progress
from core.evaluation.metrics.denoising import psnr
from core.evaluation.metrics.reconstruction import iou
from core.evaluation.metrics.ssim import ssim
from core.evaluation.restoration.restore import default_method, network_calls, restore, to_device
from core.evaluation.restoration.tasks import TASKS, Task, baselines
from core.runs.restoration import ANSWER, GAIN, MEAN, curve_name
from core.sampling_names import RestorationMethod
from core.statistics.estimate import Estimate
from core.statistics.intervals import finite_mean, mean
from core.training.checkpoint import LoadedModel

MAX_IMAGES: Final = 32
ANSWERS: Final = 8
CALLS: Final = 50
"""Network calls of an answer; RePaint takes twice as many, without their gradient."""
_BATCH: Final = 64

Numbers = NDArray[np.float64]


def restoration(
    loaded: LoadedModel,
    images: NDArray[np.uint8],
    train: NDArray[np.uint8],
    *,
    triangles: bool,
    tasks: tuple[Task, ...] = TASKS,
    answers: int = ANSWERS,
    calls: int = CALLS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Metrics, Curves]:
    """Restore held-out images by the default method of each task, and by its baselines.

    The least squared error, and so the best PSNR, is that of the mean of all images that y may come from. The mean of
    the answers estimates it. The likelier details are those of a single answer, whose PSNR is lower by up to 3 dB.

    Args:
        loaded: the run, as of a checkpoint.
        images: uint8 [N, C, S, S], held out.
        train: uint8 [M, C, S, S], the training images, for baselines.
        triangles: measure the overlap of shapes too.
        tasks: the degradations.
        answers: number for each image.
        calls: network calls of an answer.
        seed: seed of all noises.
        progress: called with network calls done and in all, of a batch each.

    Returns:
        Metrics ``restore_TASK``, the mean PSNR of the mean of the answers. Curves named by
        `core.runs.restoration.curve_name`: for each task and method PSNR, SSIM, IoU and the PSNR of the mean
        squared error with their intervals over images, and the gain in PSNR over the best baseline, image by image.
    """
    x = images.astype(np.float64) / 255.0
    known_train = train[: 1 << 14].astype(np.float64) / 255.0
    metrics: Metrics = {}
    curves: Curves = {}
    batches = -(-len(x) * answers // _BATCH)
    plan = [_calls(loaded, task, calls) for task in tasks]
    done, total = 0, sum(plan) * batches

    def report(count: int) -> None:
        if progress is not None:
            progress(done + count, total)

    for index, task in enumerate(tasks):
        rng = np.random.default_rng([seed, crc32(task.name.encode())])
        generator = torch.Generator().manual_seed(seed)

        def degrade(clean: Numbers, task: Task = task, rng: np.random.Generator = rng) -> Numbers:
            y = task.degrade(clean)
            return y + task.sigma * rng.standard_normal(y.shape) if task.sigma else y

        y = degrade(x)
        found = baselines(task, y, degrade, known_train)
        drawn = np.empty((len(x) * answers, *x.shape[1:]))
        repeated = torch.from_numpy((2.0 * y - 1.0).astype(np.float32)).repeat_interleave(answers, dim=0)
        operator, start = to_device(task.operator(x.shape[-1]), loaded.device), 0
        for batch in torch.split(repeated, _BATCH):
            final = batch
            states = restore(
                loaded,
                batch.to(loaded.device),
                operator,
                sigma_y=2.0 * task.sigma,
                calls=_asked(task, calls),
                generator=generator,
            )
            for state in states:
                final = state.xt
                report(state.index)
            done += plan[index]
            drawn[start : start + len(batch)] = (final.clamp(-1.0, 1.0).cpu().numpy() + 1.0) / 2.0
            start += len(batch)
        by_image = drawn.reshape(len(x), answers, *x.shape[1:])
        found[MEAN] = by_image.mean(axis=1)
        decibels = {name: psnr(x, restored) for name, restored in found.items()}
        best = max((decibels[name].mean(), name) for name in found if name != MEAN)[1]
        for name, restored in found.items():
            curves[curve_name(task.name, name)] = _numbers(decibels[name], x, restored, triangles)
        each = np.repeat(x, answers, axis=0)
        answer_psnr = psnr(each, drawn).reshape(len(x), answers).mean(axis=1)
        # Errors of several answers do not follow from their mean PSNR, so that of the mean error is left out.
        one_answer = _numbers(answer_psnr, x, by_image[:, 0], triangles)
        curves[curve_name(task.name, ANSWER)] = [*one_answer[:9], None, None, None]
        gain = finite_mean(decibels[MEAN] - decibels[best])
        curves[curve_name(task.name, GAIN)] = [gain.value, gain.low, gain.high]
        metrics[f"restore_{task.name}"] = finite_mean(decibels[MEAN])
    return metrics, curves


def _method(task: Task) -> RestorationMethod:
    return default_method(task.operator(8))


def _asked(task: Task, calls: int) -> int:
    return 2 * calls if _method(task) == "repaint" else calls


def _calls(loaded: LoadedModel, task: Task, calls: int) -> int:
    return network_calls(loaded, _method(task), _asked(task, calls), 2.0 * task.sigma)


def _decibels(error: float | None) -> float | None:
    return None if error is None or error <= 0.0 else -10.0 * float(np.log10(error))


def _numbers(decibels: Numbers, x: Numbers, restored: Numbers, triangles: bool) -> list[float | None]:
    """Return PSNR, SSIM, IoU and the PSNR of the mean squared error, each with its interval: 12 numbers.

    IoU is None without triangles. A few images that are restored exactly dominate the mean PSNR of images, where one
    counts up to 58.9 dB. They do not dominate that of the mean error.
    """
    similarity = finite_mean(ssim(x, restored))
    overlap = Estimate(None)
    if triangles:
        brightest = [values.max(axis=1, keepdims=True) for values in (x, np.nan_to_num(restored))]
        overlap = mean(iou(*brightest))
    error = finite_mean(10.0 ** (-decibels / 10.0))
    pooled = Estimate(_decibels(error.value), _decibels(error.high), _decibels(error.low))
    return [
        number
        for one in (finite_mean(decibels), similarity, overlap, pooled)
        for number in (one.value, one.low, one.high)
    ]
