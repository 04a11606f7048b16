#!/usr/bin/env python3
"""Writes docs/api.md from the public headers. Usage: tools/api_docs.py >docs/api.md"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = [
    ("What every call has", ["error", "context", "progress", "version"]),
    ("The component `solver`", ["features", "fit", "fit_choices", "head", "evaluate"]),
    ("The component `lm`", ["model", "model_choices", "records", "dataset", "extract", "generate", "align", "export"]),
]
WITHOUT_NAMES = {"api", "solver", "lm"}  # the mark of the API, and headers that include the others

OPENING = """# The library

Written by `tools/api_docs.py` from `include/coala/`. Everything is in the namespace `coala`, in types of the standard library.

```cmake
find_package(coala 0.1 REQUIRED COMPONENTS solver)   # from arrays to a head: no llama.cpp
target_link_libraries(program PRIVATE coala::solver) # #include <coala/solver.h>

find_package(coala 0.1 REQUIRED COMPONENTS lm)       # all that has to do with a model, and what the solver has
target_link_libraries(program PRIVATE coala::lm)     # #include <coala/lm.h>
```

`make install` installs both ([install.md](install.md), As a library); `examples/` has a program for each use, with a CMake file of its own. A compiler of C++20 and Linux are needed; of static libraries also BLAS, LAPACK, fmt, xxhash and, for `lm`, zlib and zstd.

* **Errors** are `coala::Error`: a code, a message with what was found and expected, a hint. Some hints name options of the program `coala`: the setting of the same name is meant.
* **Objects** (`Features`, `Head`, `Model`, `Dataset`) are immutable and cheap to copy; any number of threads may use them. An `Engine` is for one thread at a time.
* **News, progress, cancellation and threads** belong to a call, by its `Context`. Without one a call is silent and uses all cores.
* **Processes.** Chat templates, and models that were not seen before, are tried in child processes (`fork`), so that a hostile file cannot harm the program. A program that links `coala::lm` does not wait for children that it has not started.
* An assertion of llama.cpp that fails in spite of the trial ends the process.
"""


def without_inner_parts(code):
    """A declaration as users need it: no mark of the API, no private part, nothing for coala's own sources."""
    lines = []
    skipped = False
    for line in code.split("\n"):
        skipped = (skipped or line.startswith(" private:")) and not line.startswith("};")
        if not skipped and not re.search(r"\bState\b", line):
            lines.append(line)
    if lines[0].startswith("COALA_API "):
        indent = " " * len("COALA_API ")
        lines = [line.removeprefix(indent) for line in lines]
    text = "\n".join(lines).replace("COALA_API ", "")
    return re.sub(r"\n+};", "\n};", text)


def declarations(header):
    """(comment, code) of each declaration of a header, in its order."""
    text = (ROOT / "include" / "coala" / f"{header}.h").read_text(encoding="utf-8")
    body = re.search(r"namespace coala(?:::v1)? \{\n(.*)\n\}  // namespace coala", text, re.S).group(1)
    found = []
    comment, code, depth = [], [], 0
    for line in body.split("\n"):
        if not code and line.startswith("///"):
            comment.append(line[3:].strip())
        elif code or line:
            code.append(line)
            bare = line.split("//")[0]
            depth += bare.count("{") - bare.count("}")
            if depth == 0 and bare.rstrip().endswith(";"):
                found.append((comment, without_inner_parts("\n".join(code))))
                comment, code = [], []
    return found


def name_of(code):
    named = re.search(r"(?:struct|class|enum class) (\w+)", code) or re.search(r"(\w+)\(", code)
    return named.group(1)


def prose(comment):
    """Comment lines as Markdown: a parameter or an error is an item."""
    text = ""
    for line in comment:
        marked = re.match(r"@(param|return|throws)\s*(.*)", line)
        if marked:
            word = {"param": "Parameter", "return": "Returns", "throws": "Throws"}[marked.group(1)]
            rest = marked.group(2)
            if word == "Parameter":
                name, _, rest = rest.partition("  ")
                rest = f"`{name}`: {rest.strip()}"
            text += "\n" if "\n* " in text else "\n\n"
            text += f"* {rest}" if word == "Parameter" else f"* {word}: {rest}"
        elif line == "":
            text += "\n\n"
        else:
            text += (" " if text and not text.endswith("\n") else "") + line
    return text.strip()


def main():
    names = {path.stem for path in (ROOT / "include" / "coala").glob("*.h")}
    listed = {name for _, headers in PARTS for name in headers}
    if names != listed | WITHOUT_NAMES:
        raise SystemExit(f"api_docs.py: these headers and the list in it differ: {names ^ (listed | WITHOUT_NAMES)}")
    print(OPENING)
    for title, headers in PARTS:
        print(f"## {title}\n")
        for header in headers:
            for comment, code in declarations(header):
                print(f"### {name_of(code)}\n\n`<coala/{header}.h>`\n")
                if comment:
                    print(prose(comment) + "\n")
                print(f"```cpp\n{code}\n```\n")


if __name__ == "__main__":
    main()
