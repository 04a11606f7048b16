"""What has to do with a model, but for writing replies."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from . import _coala
from ._heads import Estimate, estimate
from ._settings import takes


@dataclass(frozen=True)
class Extraction:
    """Features of records.

    records: [n], the numbers in the dataset of the rows
    tokens: of all sequences, as if nothing was shared; evaluated_tokens: by the model
    """

    features: _coala.Features
    records: "numpy.ndarray" = field(repr=False)  # noqa: F821
    tokens: int
    evaluated_tokens: int
    seconds: float


@dataclass(frozen=True)
class Exported:
    """A head's guidance as a file for llama.cpp's programs.

    adapter: whether it is a LoRA adapter, else a whole model
    rank: of the change; bytes: of the file
    divergence, same_tokens: of a whole model, beside the guided one: nats per token, and the share of tokens with the
        same most probable one
    """

    adapter: bool
    name: str
    rank: int
    bytes: int
    divergence: Optional[float]
    same_tokens: Optional[float]


@dataclass(frozen=True)
class Alignment:
    """What align() has made.

    head, report: files in the folder
    verdict: did it work? A sentence with the numbers behind it; remarks: more of them
    accuracy: of the reward head on held-out rows
    guides: whether there is a token head
    up_to_date: whether nothing had changed since an earlier call
    metrics: all of them, as in metrics.json (docs/metrics.md)
    """

    head: Path
    report: Path
    verdict: str
    remarks: list
    accuracy: Estimate
    guides: bool
    up_to_date: bool
    metrics: dict = field(repr=False)


def _paths(given):
    """One path, or several."""
    return [os.fspath(given)] if isinstance(given, (str, os.PathLike)) else [os.fspath(path) for path in given]


@takes("FeatureKeywords", "FeatureSettings")
def extract(model, data, *, out=None, threads=0, news=None, **settings):
    """Runs the records of a Dataset through a Model: an Extraction.

    out: a file for the features, which a call that was stopped or killed goes on with; None: they stay in memory
    threads: 0 for all cores
    news: called with each News; None: the logger coala_align
    """
    return Extraction(**_coala.extract(model, data, out, settings, threads, news))


def score(model, head, prompt, responses, *, allow_unbound=False, threads=0, news=None):
    """Scores of responses (a list of texts) to a prompt: an array, [responses].

    prompt: a text, which the user says; a list of messages, {"role": ..., "content": ...}; or {"prefix": ...}, a text
        that the responses continue word for word
    allow_unbound: accept a head that does not say which model it is for
    """
    return _coala.score(model, head, prompt, list(responses), allow_unbound, threads, news)


@takes("AlignKeywords", "FeatureKeywords", "FeatureSettings", "FitSettings")
def align(*, model, data, out, eval_data=(), lora=None, lora_scale=1.0, chat_template=None, device="cpu",
          device_layers=None, threads=0, news=None, **settings):
    """The whole job: features of the data, a head trained and judged on them, a token head with a scale that was tried,
    report and metrics. An Alignment. A call that was stopped is gone on with by the next one.

    model: a GGUF file; lora, lora_scale, chat_template, device, device_layers: as of Model
    data: files, patterns or folders of preferences (docs/data-shapes.md): one, or a list
    out: folder for head, report, metrics and features
    eval_data: to evaluate on; none: a share of the prompts of `data` is held out
    threads: 0 for all cores
    news: called with each News; None: the logger coala_align
    """
    source = {"path": os.fspath(model), "lora": os.fspath(lora or ""), "lora_scale": lora_scale,
              "chat_template": chat_template, "device": device, "device_layers": device_layers}
    made = _coala.align(source, _paths(data), _paths(eval_data), out, settings, threads, news)
    metrics = json.loads(made.pop("json"))
    made["accuracy"] = estimate(made["accuracy"])
    return Alignment(**made, metrics=metrics)


@takes("ExportKeywords")
def export(model, head, out, *, threads=0, news=None, **settings):
    """Writes the guidance of a Head as a file that every llama.cpp program runs: an Exported.

    threads: 0 for all cores
    news: called with each News; None: the logger coala_align
    """
    return Exported(**_coala.export(model, head, out, settings, threads, news))
