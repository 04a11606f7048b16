#!/usr/bin/env python3
"""`coala judge` beside the published programs on the same annotations: AlpacaEval 2, Arena-Hard v0.1 and v2.0, MT-Bench.

The published code is run as it is, at the commits named below, each file read from git; nothing of it is changed but
what is said at the place. Needs bench/judge/requirements.txt.
Usage: published.py BINARY [--shared FOLDER] [--git NAME=FOLDER ...]
  --shared  has data/lc_winrate: real annotations of AlpacaEval 2; without it a made-up model stands in
  --git     a git directory of one of the repositories, instead of cloning it
Prints the largest difference of each figure; ends with status 1 when one is above 1e-6 that should not be."""

import argparse
import csv
import gzip
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import types
import warnings

os.environ["TQDM_DISABLE"] = "1"  # before it is imported
import numpy as np
import pandas as pd
import scipy.optimize
import sklearn
import sklearn.linear_model
import torch

warnings.filterwarnings("ignore")
REPOSITORIES = {
    "alpaca_eval": ("https://github.com/tatsu-lab/alpaca_eval", "cd543a149df89434d8a54582c0151c0b945c3d20"),
    "arena-hard-auto": ("https://github.com/lmarena/arena-hard-auto", "196f6b826783b3da7310e361a805fa36f0be83f3"),
    "FastChat": ("https://github.com/lm-sys/FastChat", "0e6d3e4beaab66f4d3f93db72541a4abab8af28d"),
}
ARENA_V01 = "0489bf384abd010906014dec7b903f7c438eabba"  # the last with v0.1's program
BOUND = 1e-6


class Published:
    """Files of the repositories."""

    def __init__(self, folders):
        self.folders = folders

    def text(self, name, path, commit=None):
        url, pinned = REPOSITORIES[name]
        if name not in self.folders:
            cache = pathlib.Path(os.environ.get("COALA_CACHE") or pathlib.Path.home() / ".cache" / "coala")
            folder = cache / f"{name}-{pinned[:12]}.git"
            if not folder.exists():
                subprocess.run(["git", "clone", "--quiet", "--bare", "--filter=blob:none", url, folder], check=True)
            self.folders[name] = folder
        return subprocess.run(["git", "--git-dir", self.folders[name], "show", f"{commit or pinned}:{path}"],
                              capture_output=True, text=True, check=True).stdout

    def module(self, name, text, stubs):
        """A module of that text. @param stubs  modules that it imports, by name"""
        before = {stub: sys.modules.get(stub) for stub in stubs}
        sys.modules.update(stubs)
        module = types.ModuleType(name)
        sys.modules[name] = module
        module.__file__ = f"/{name}.py"
        if "." in name:
            module.__package__ = name.rsplit(".", 1)[0]
        try:
            exec(compile(text, name, "exec"), module.__dict__)
        finally:
            for stub, old in before.items():
                if old is None:
                    sys.modules.pop(stub)
                else:
                    sys.modules[stub] = old
        return module


def stub(name, **content):
    module = types.ModuleType(name)
    module.__path__ = []
    module.__dict__.update(content)
    return module


class Comparison:
    def __init__(self, binary):
        self.binary = binary
        self.failed = False

    def run(self, *arguments):
        done = subprocess.run([self.binary, "judge", "--json", "--quiet", *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    def tell(self, what, ours, theirs, bound=BOUND, why=""):
        difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        good = difference <= bound
        self.failed = self.failed or not good
        print(f"{what:58} {len(ours):4} figures, largest difference {difference:.1e}{'' if good else '  TOO LARGE'} {why}")


# AlpacaEval 2

def made_up_annotations(seed):
    draw = random.Random(seed)
    rows = []
    for i in range(300):
        base, model = draw.randint(200, 4000), draw.randint(100, 5000)
        logit = 1.2 * math.tanh((model - base) / 1500) - 0.4 + draw.gauss(0, 1)
        rows.append({"instruction": f"instruction {i}", "len_baseline": base, "len_model": model,
                     "preference": 1 + 1 / (1 + math.exp(-logit))})
    return rows


def gamed_rows(shared, difficulties):
    """Features of the gamed baseline; its preferences, which are not public, have the public sums."""
    if shared:
        folder = shared / "data" / "lc_winrate"
        table = pd.read_csv(folder / "gamed_baseline_features.csv")
        sums = json.load(open(folder / "gamed_baseline_sufficient_stats.json", encoding="utf-8"))
        x, z = table["tanh_std_delta_len"].to_numpy(), table["instruction_difficulty"].to_numpy()
        sums = np.array([sums["S_tanh_std_delta_len"], sums["S_instruction_difficulty"]])
    else:
        rng = np.random.default_rng(1)
        z = np.array(list(difficulties) * 2)
        x = np.tanh(rng.normal(size=len(z)) * 2)
        sums = np.array([-0.1, 0.2]) * len(z)
    features = np.stack([x, z], 1)
    excess = lambda b: features.T @ (1 / (1 + np.exp(-features @ b))) - sums
    coefficients = scipy.optimize.root(excess, np.zeros(2), tol=1e-12).x
    return x, z, 1 / (1 + np.exp(-features @ coefficients))


def alpaca_eval(published, comparison, shared, folder):
    if shared:
        data = shared / "data" / "lc_winrate"
        with open(data / "instruction_difficulty_recovered.csv", encoding="utf-8", newline="") as file:
            difficulty = {row["instruction"]: float(row["instruction_difficulty"]) for row in csv.DictReader(file)}
        models = {}
        for path in sorted(data.glob("*.json.gz")):
            content = json.load(gzip.open(path))
            if content["model"] != "gpt4_1106_preview":
                models[content["model"]] = content["rows"]
    else:
        models = {"made up": made_up_annotations(1)}
        rng = np.random.default_rng(2)
        difficulty = {row["instruction"]: float(rng.normal()) for row in models["made up"]}
    x, z, preference = gamed_rows(shared, difficulty.values())
    # As df_gamed.csv is read: index is that of the instruction.
    gamed = pd.DataFrame({"preference": preference, "std_delta_len": np.arctanh(np.clip(x, -1 + 1e-15, 1 - 1e-15)),
                          "instruction_difficulty": z, "not_gamed_baseline": False,
                          "index": np.arange(len(x)) % len(difficulty), "model": "gamed"})
    gamed["instruction_difficulty"] = list(difficulty.values()) * 2 if len(difficulty) * 2 == len(x) else z
    gamed.to_csv(folder / "df_gamed.csv", index=False)
    with open(folder / "difficulty.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["instruction", "instruction_difficulty"])
        writer.writerows(difficulty.items())
    utils = stub("alpaca_eval.utils", convert_to_dataframe=pd.DataFrame,
                 validate_alpacaeval_preference=lambda value, is_allow_nan: 1 <= value <= 2)
    stubs = {"alpaca_eval": stub("alpaca_eval", constants=stub("c", DATASETS_TOKEN=None, DATASETS_FORCE_DOWNLOAD=False,
                                                               DEFAULT_CACHE_DIR=None),
                                 types=stub("t", AnyLoadableDF=object), utils=utils),
             "alpaca_eval.utils": utils, "alpaca_eval.metrics": stub("alpaca_eval.metrics"),
             "huggingface_hub": stub("huggingface_hub", hf_hub_download=lambda **_: str(folder / "df_gamed.csv"))}
    root = "src/alpaca_eval/metrics"
    stubs["alpaca_eval.metrics.helpers"] = published.module("alpaca_eval.metrics.helpers",
                                                            published.text("alpaca_eval", f"{root}/helpers.py"), stubs)
    text = published.text("alpaca_eval", f"{root}/winrate.py").replace("from .helpers", "from alpaca_eval.metrics.helpers")
    stubs["alpaca_eval.metrics.winrate"] = published.module("alpaca_eval.metrics.winrate", text, stubs)
    glm = published.module("alpaca_eval.metrics.glm_winrate", published.text("alpaca_eval", f"{root}/glm_winrate.py"), stubs)
    names = ("win_rate", "standard_error", "discrete_win_rate", "length_controlled_winrate", "lc_standard_error")
    # liblinear stops early at its default tolerance; with a small one it gets to the optimum of the same problem.
    exact = type("Exact", (glm.LogisticRegressionCV,), {"__init__": lambda self, **more: glm_cv.__init__(
        self, tol=1e-12, max_iter=100000, **more)})
    glm_cv = glm.LogisticRegressionCV
    for name, rows in models.items():
        (folder / "annotations.json").write_text(json.dumps({"model": name, "rows": rows}))
        done = comparison.run("--annotations", folder / "annotations.json", "--instruction-difficulty",
                              folder / "difficulty.csv", "--gamed-baseline", folder / "df_gamed.csv")["models"][0]
        annotations = pd.DataFrame([{"instruction": row["instruction"], "preference": row["preference"], "index": i,
                                     "output_1": "x" * row["len_baseline"], "output_2": "x" * row["len_model"],
                                     "generator_1": "base", "generator_2": name, "annotator": "a"}
                                    for i, row in enumerate(rows)]).drop(columns="index")
        order = [list(difficulty).index(row["instruction"]) for row in rows]
        assert order == list(range(len(rows))), "the rows are not in the order of the benchmark"
        for kind, cls, bound in (("as published", glm_cv, 0.2), ("liblinear to the end", exact, 1e-3)):
            glm.LogisticRegressionCV = cls
            theirs = glm.get_length_controlled_winrate(annotations.copy(), save_weights_dir=None)
            if cls is glm_cv:
                comparison.tell(f"AlpacaEval 2, {name}: win rates", [100 * done[key] for key in names[:3]],
                                [theirs[key] for key in names[:3]])
            comparison.tell(f"  length-controlled, {kind}", [100 * done[key] for key in names[3:]],
                            [theirs[key] for key in names[3:]], bound, f"(points; C {done['glm_C']:.3g})")
        glm.LogisticRegressionCV = glm_cv


# Arena-Hard

def made_up_games(seed, question, verdicts):
    """Judgments of three models of different strength, of which some games have no verdict; answers with metadata."""
    draw = random.Random(seed)
    judgments, answers = [], []
    models = {"weak": -1.0, "even": 0.1, "org/strong": 0.9}
    for name in [*models, "base"]:
        for i in range(80):
            metadata = {"token_len": draw.randint(20, 900), "header_count": {"h1": draw.randint(0, 2), "h2": draw.randint(0, 4)},
                        "list_count": {"ordered": draw.randint(0, 9), "unordered": draw.randint(0, 9)},
                        "bold_count": {"**": draw.randint(0, 12), "__": 0}}
            answers.append((name, f"q{i}", metadata))
    for name, strength in models.items():
        for i in range(80):
            games = []
            for model_first in (False, True):
                logit = strength + draw.gauss(0, 1.5)
                index = min(4, max(0, round(2 + 1.5 * math.tanh(logit / 2) + draw.gauss(0, 0.7))))
                label = verdicts[index if not model_first else 4 - index]
                games.append({"score": label if draw.random() > 0.03 else None})
            judgments.append({question: f"q{i}", "model": name, "judge": "j", "category": "hard_prompt", "games": games})
    return judgments, answers


LABELS = ["A>>B", "A>B", "A=B", "B>A", "B>>A"]  # from the first to the second


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def arena_v01(published, comparison, folder):
    judgments, answers = made_up_games(3, "question_id", LABELS)
    write_lines(folder / "v01.jsonl", judgments)
    write_lines(folder / "answers01.jsonl", [{"model_id": name, "question_id": uid, "conv_metadata": metadata}
                                             for name, uid, metadata in answers])
    np.NAN = np.nan  # the name was removed
    maths = published.text("arena-hard-auto", "utils_math.py", ARENA_V01)
    metadata = {}
    for name, uid, of_answer in answers:
        metadata.setdefault(name, {})[uid] = {"conv_metadata": of_answer}
    exact = type("Exact", (sklearn.linear_model.LogisticRegression,), {"__init__": lambda self, **more: (
        sklearn.linear_model._logistic.LogisticRegression.__init__(self, **{**more, "tol": 1e-10, "max_iter": 2000}))})
    for control in ("", "length,markdown", "length", "markdown"):
        arguments = ["--annotations", folder / "v01.jsonl", "--baseline", "base"]
        if control:
            arguments += ["--control", control, "--answers", folder / "answers01.jsonl"]
        ours = comparison.run(*arguments)["tables"][0]
        for kind in ("as published", "its solver to the end"):
            module = published.module("utils_math", maths, {})
            if kind != "as published":
                text = maths.replace("from sklearn.linear_model import LogisticRegression", "from exact import LogisticRegression")
                module = published.module("utils_math", text, {"exact": stub("exact", LogisticRegression=exact)})
                sys.modules["exact"] = stub("exact", LogisticRegression=exact)
            result = published.module("show_result", published.text("arena-hard-auto", "show_result.py", ARENA_V01),
                                      {"utils": stub("utils", load_model_answers=None), "utils_math": module})
            battles = pd.DataFrame([battle for row in judgments for battle in result.get_battles_from_row(
                row, False, 3, "base", metadata if control else None)])
            np.random.seed(42)
            if not control:
                point = module.compute_mle_elo(battles, baseline_model="base")
                # Its get_bootstrap_result passes the baseline only when it is called baseline_model in words.
                draws = module.get_bootstrap_result(battles, lambda df: module.compute_mle_elo(df, baseline_model="base"), 100)
            else:
                elements = {"length": module.LENGTH_CONTROL_ELEMENTS, "markdown": module.MARKDOWN_CONTROL_ELEMENTS}
                chosen = elements.get(control, module.STYLE_CONTROL_ELEMENTS)
                x, y, models = module.construct_style_matrices(battles, apply_ratio=[1] * (len(chosen) // 2), style_elements=chosen)
                point, style = module.fit_bt(x, y, models, baseline_model="base")
                draws, _ = module.get_bootstrap_result_style_control(x, y, battles, models, module.fit_bt, 100, "base")
            # Its last step, without rounding to two digits.
            rate = lambda elo, base: 1 / (1 + 10 ** ((base - elo) / 400))
            theirs, mine = [], []
            for model in ours["models"]:
                name = model["model"]
                theirs += [rate(point[name], point["base"])]
                theirs += [rate(np.percentile(draws[name], q), np.percentile(draws["base"], q)) for q in (2.5, 97.5)]
                mine += [model["score"], *model["bootstrap95"]]
            if control:
                theirs += list(style)
                mine += ours["style_coefficients"]
            bound = BOUND if kind != "as published" or not control else 1e-3
            comparison.tell(f"Arena-Hard v0.1{', control of ' + control if control else ''}, {kind}", mine, theirs, bound)


def arena_v20(published, comparison, folder):
    judgments, answers = made_up_games(4, "uid", LABELS)
    draw = random.Random(5)
    flipped = {"A>>B": "B<<A", "A>B": "B<A", "A=B": "B=A", "B>A": "A<B", "B>>A": "A<<B"}
    for row in judgments:
        for game in row["games"]:
            if game["score"] and draw.random() < 0.3:
                game["score"] = flipped[game["score"]]
    write_lines(folder / "v20.jsonl", judgments)
    write_lines(folder / "answers20.jsonl", [{"model": name, "uid": uid, "metadata": metadata}
                                             for name, uid, metadata in answers])
    maths = published.module("utils.math_utils", published.text("arena-hard-auto", "utils/math_utils.py"), {})
    settings = stub("utils.judge_utils", JUDGE_SETTINGS={"hard_prompt": {"baseline": "base"}})
    result = published.module("show_result", published.text("arena-hard-auto", "show_result.py"),
                              {"utils": stub("utils"), "utils.math_utils": maths, "utils.judge_utils": settings})
    place = folder / "data" / "b" / "model_judgment" / "j"
    place.mkdir(parents=True)
    write_lines(place / "all.jsonl", judgments)
    style = {}
    for name, uid, metadata in answers:
        style.setdefault(name, {})[uid] = metadata
    result.get_model_style_metadata = lambda benchmark: style
    captured = []

    def keep(mean, lower, upper, baseline=None):
        captured.append({row["model"]: (row["scores"], row["lower"], row["upper"]) for _, row in
                         mean.merge(lower, on="model").merge(upper, on="model").iterrows()})
        return pd.DataFrame()

    result.format_confidence_interval = keep
    result.print = lambda *_: None
    before = os.getcwd()
    os.chdir(folder)
    try:
        battles = result.load_judgments(["j"], "b")
    finally:
        os.chdir(before)
    single = maths.fit_pairwise_model

    class Double:
        """torch, of which the name float32 means double precision."""
        float32 = torch.float64

        def __getattr__(self, name):
            return getattr(torch, name)

    def in_double(features, outcomes, *more, **named):
        return single(features.double(), outcomes.double(), *more, **named)

    for control in ("", "length,markdown"):
        arguments = ["--annotations", folder / "v20.jsonl", "--baseline", "base", "--seed", 42]
        if control:
            arguments += ["--control", control, "--answers", folder / "answers20.jsonl"]
        ours = comparison.run(*arguments)["tables"][0]
        for kind, fit in (("as published (float32)", single), ("in double precision", in_double)):
            if not control and fit is not single:
                continue
            maths.fit_pairwise_model = fit
            # Of the double run, features and the model's parameters too.
            result.torch = maths.torch = torch if fit is single else Double()
            torch.set_default_dtype(torch.float32 if fit is single else torch.float64)
            captured.clear()
            np.random.seed(42)
            if control:
                original = torch.Tensor.float
                if fit is not single:
                    torch.Tensor.float = torch.Tensor.double
                result.print_leaderboard_with_style_features(battles.copy(), "b", "hard_prompt", control.split(","))
                torch.Tensor.float = original
            else:
                result.print_leaderboard(battles.copy(), "hard_prompt")
            torch.set_default_dtype(torch.float32)
            theirs, mine = [], []
            for model in ours["models"]:
                theirs += captured[0][model["model"].split("/")[-1]]
                mine += [model["score"], *model["bootstrap90"]]
            bound = 1e-4 if control and fit is single else BOUND
            comparison.tell(f"Arena-Hard v2.0{', control of ' + control if control else ''}, {kind}", mine, theirs, bound)


# MT-Bench

def mt_bench(published, comparison, folder):
    draw = random.Random(6)
    marks = [{"question_id": 81 + i, "model": name, "judge": ["j", "t"], "turn": turn,
              "score": -1 if draw.random() < 0.05 else draw.choice([1, 3, 4.5, 6, 7, 8, 9, 10])}
             for i in range(80) for name in ("a", "b", "c") for turn in (1, 2)]
    winners = ["model_1", "model_2", "tie", "error"]
    pairs = [{"question_id": 81 + i, "model_1": one, "model_2": two, "turn": 1, "judge": ["j", "p"],
              "g1_winner": draw.choices(winners, [4, 3, 2, 0.3])[0], "g2_winner": draw.choices(winners, [4, 3, 2, 0.3])[0]}
             for i in range(80) for one, two in (("a", "b"), ("a", "base"), ("base", "b"))]
    write_lines(folder / "single.jsonl", marks)
    write_lines(folder / "pair.jsonl", pairs)
    result = published.module("show_result_fastchat", published.text("FastChat", "fastchat/llm_judge/show_result.py"), {})
    printed = []
    result.print = lambda *values: printed.extend(value for value in values if isinstance(value, pd.DataFrame))
    options = types.SimpleNamespace(input_file=str(folder / "single.jsonl"), model_list=None, bench_name="mt_bench",
                                    judge_model="j", baseline_model=None)
    result.display_result_single(options)
    theirs, mine = [], []
    for model in comparison.run("--annotations", folder / "single.jsonl")["models"]:
        name = model["model"]
        theirs += [printed[0].loc[(name, 1), "score"], printed[1].loc[(name, 2), "score"], printed[2].loc[name, "score"]]
        mine += [model["turn_1"], model["turn_2"], model["average"]]
    comparison.tell("MT-Bench, marks", mine, theirs)
    for baseline in (None, "base"):
        printed.clear()
        options.input_file, options.baseline_model = str(folder / "pair.jsonl"), baseline
        result.display_result_pairwise(options)
        arguments = ["--annotations", folder / "pair.jsonl"] + (["--baseline", baseline] if baseline else [])
        theirs, mine = [], []
        for model in comparison.run(*arguments)["models"]:
            row = printed[0].loc[model["model"]]
            keys = ("win", "loss", "tie", "win_rate", "loss_rate", "win_rate_adjusted")
            theirs += [row[key] for key in keys]
            mine += [model[key] for key in keys]
        assert len(theirs) == 6 * len(printed[0])
        comparison.tell(f"MT-Bench, {'pairs with a baseline' if baseline else 'all pairs'}", mine, theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--shared", type=pathlib.Path)
    parser.add_argument("--git", action="append", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    published = Published(dict(item.split("=", 1) for item in options.git))
    comparison = Comparison(os.path.abspath(options.binary))
    print("numpy", np.__version__, "scikit-learn", sklearn.__version__, "torch", torch.__version__)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        mt_bench(published, comparison, folder)
        arena_v01(published, comparison, folder)
        arena_v20(published, comparison, folder)
        alpaca_eval(published, comparison, options.shared, folder)
    sys.exit(1 if comparison.failed else 0)


if __name__ == "__main__":
    main()
