"""Replies, whole or as they grow."""

from dataclasses import dataclass
from typing import Optional

from . import _coala
from ._settings import takes


@dataclass(frozen=True)
class Reply:
    """What a model wrote.

    reasoning: what it thought before; "" for most
    finish: "stop" (it ended, or a stop text came), "length" (at max_tokens) or "context" (which is full)
    log_probability: of all tokens, the end included, under the model as it is
    divergence: how far token heads have moved its distributions: nats, sum over tokens
    score: by the head, where that is a part of the guidance
    """

    text: str
    reasoning: str
    finish: str
    tokens: int
    log_probability: float
    divergence: float
    score: Optional[float]


def _asked(model, prompt, head, heads, stop, logit_bias, settings):
    """The arguments of the extension."""
    if head is not None and heads is not None:
        raise TypeError("head and heads are given; expected one of them")
    if heads is not None and "guidance_scale" in settings:
        raise TypeError("guidance_scale is given, and heads have scales of their own")
    guiding = list(heads.items()) if heads is not None else [] if head is None else [(head, None)]
    stops = [stop] if isinstance(stop, str) else list(stop)
    return model, prompt, guiding, stops, dict(logit_bias or {}), settings


_LISTS = ("ReplyKeywords", "SamplerOptions", "BranchSettings")


@takes("SampleKeywords", *_LISTS)
def generate(model, prompt, *, head=None, heads=None, stop=(), logit_bias=None, threads=0, news=None, **settings):
    """Writes a Reply to a prompt; with `samples` a list of them.

    prompt: a text, which the user says; a list of messages, {"role": ..., "content": ...}; or {"prefix": ...}, a text
        that is continued word for word
    head: a Head that guides, times guidance_scale; or heads: {head: scale}, whose opinions are added
    stop: a text that a reply ends before, or several
    logit_bias: {token: value}, added to its logit; -inf rules it out
    threads: 0 for all cores
    news: called with each News; None: the logger coala_align

    num_candidates is what the guidances best-of-n and sentence choose from as well (without it 8 replies or
    sentences), and guidance_scale is of token and bias as well (without it 1).
    """
    replies = [Reply(**reply) for reply in _coala.generate(
        *_asked(model, prompt, head, heads, stop, logit_bias, settings), threads, news)]
    return replies[0] if settings.get("samples") is None else replies


class Stream:
    """A reply as it grows: an iterator of its pieces, whole characters at a time.

    It is written while it is read. close(), the end of a `with`, or nobody who has it any more ends the writing.
    """

    def __init__(self, growing):
        self._growing = growing
        self._reply = None

    def __iter__(self):
        return self

    def __next__(self):
        piece = self._growing.next()
        if piece is None:
            raise StopIteration
        return piece

    @property
    def reply(self):
        """The whole Reply; what has not been read of it is read first. None after close()."""
        for _ in self:
            pass
        if self._reply is None:
            self._reply = next((Reply(**reply) for reply in self._growing.replies()), None)
        return self._reply

    def close(self):
        self._growing.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@takes(*_LISTS)
def stream(model, prompt, *, head=None, heads=None, stop=(), logit_bias=None, threads=0, news=None, **settings):
    """Writes a reply to a prompt that is read as it grows: a Stream. All is as in generate(), but that the reply stays
    as it is written: there are no `samples`, and no guidance best-of-n.
    """
    return Stream(_coala.ReplyStream(*_asked(model, prompt, head, heads, stop, logit_bias, settings), threads, news))
