"""Teach a GGUF model how you like its answers: reward heads and token heads by convex optimisation.

From arrays:        Features, fit(), Head, evaluate()
From a model:       Model, Dataset, extract(), score(), generate(), stream(), align(), export()
What goes wrong:    Error, with a code and a hint
News and progress:  the logger "coala_align", or `news=` of each call

docs/python.md shows both ways. Calls leave the interpreter free for other threads, and Ctrl-C ends them.
"""

from ._coala import Dataset, Features, Head, Model
from ._coala import version as __version__
from ._errors import Error
from ._generate import Reply, Stream, generate, stream
from ._heads import Certificate, Estimate, Evaluation, Fit, evaluate, fit
from ._models import Alignment, Exported, Extraction, align, export, extract, score
from ._news import News

for _type in (Dataset, Features, Head, Model):
    _type.__module__ = __name__
for _object in (Error, Reply, Stream, Certificate, Estimate, Evaluation, Fit, Alignment, Exported, Extraction, News):
    _object.__module__ = __name__

__all__ = [
    "Alignment", "Certificate", "Dataset", "Error", "Estimate", "Evaluation", "Exported", "Extraction", "Features",
    "Fit", "Head", "Model", "News", "Reply", "Stream", "align", "evaluate", "export", "extract", "fit", "generate",
    "score", "stream",
]
