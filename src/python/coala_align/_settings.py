"""Keywords that follow from the lists of settings in the extension (`list()` of each struct)."""

import difflib
import functools
import inspect
import textwrap

from . import _coala

_TYPES = {"bool": bool, "int": int, "float": float, "str": str}
_WIDTH = 100


def _entry(setting):
    """A setting in the words of help()."""
    about = [setting["about"]] if setting["about"] else []
    if setting["limits"]:
        about.append(setting["limits"])
    if setting["absent"]:
        about.append(f"None: {setting['absent']}")
    head = f"{setting['name']} = {setting['default']!r}: "
    return textwrap.fill(head + "; ".join(about), _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _refuse(function, name, known):
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    raise TypeError(f"{function}() got an unexpected keyword argument '{name}'. The nearest is '{near[0]}'")


def takes(*lists):
    """A decorator: the function's **settings are the settings of these lists, by name, in signature and help."""
    listed = [setting for name in lists for setting in _coala.describe(name)]

    def decorate(function):
        own = inspect.signature(function)
        named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        made = [inspect.Parameter(setting["name"], inspect.Parameter.KEYWORD_ONLY, default=setting["default"],
                                  annotation=_TYPES[setting["kind"]])
                for setting in listed]
        signature = own.replace(parameters=named + made)
        known = list(signature.parameters)

        @functools.wraps(function)
        def call(*args, **keywords):
            for name in keywords:
                if name not in known:
                    _refuse(function.__name__, name, known)
            return function(*args, **keywords)

        call.__signature__ = signature
        call.__doc__ = "\n".join([inspect.cleandoc(function.__doc__), "", "Settings:", "", *map(_entry, listed)])
        return call

    return decorate
