"""Where news of calls goes."""

import logging
from typing import NamedTuple, Optional

_LOGGER = logging.getLogger("coala_align")
_LEVELS = {"line": logging.INFO, "warning": logging.WARNING, "progress": logging.DEBUG}


class News(NamedTuple):
    """What a call says while it works.

    kind: "line", "warning" or "progress"
    text: a line for people
    progress: of that kind a dict of stage, unit, done, total, elapsed_s, per_second, left_s and ended
    """

    kind: str
    text: str
    progress: Optional[dict] = None


def _log(kind, text, _progress):
    _LOGGER.log(_LEVELS[kind], "%s", text)


def teller(news):
    """What the extension calls: tell(kind, text, progress)."""
    if news is None:
        return _log
    if not callable(news):
        raise TypeError(f"news must be callable, not {type(news).__name__}")
    return lambda kind, text, progress: news(News(kind, text, progress))
