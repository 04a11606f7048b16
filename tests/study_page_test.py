#!/usr/bin/env python3
"""`coala study`: the page is made, raters answer it in Chromium by keyboard alone, on a telephone's width and on a
desk's, and what they saved is added up. Without a Chromium (COALA_CHROMIUM, or on the path) raters' files are written
here instead, and the page is looked at as a file. COALA_SCREENSHOTS names a folder for pictures.
Usage: study_page_test.py BINARY"""

import glob
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from browser import Browser, find_chromium
from page_test import contrast

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src", "study", "page")
WIDTHS = {375: 740, 1280: 860}
HOSTILE = ["</script><script>window.taken = 1</script>", "<img src=x onerror='window.taken = 1'>", "<!--<script>",
           "]]>&lt;&amp;\u2028\u2029\u202etxet\u0000\u0007 {{x}} ${1} \\u003c", "STUDY POLICY", "<b>bold</b>\n\n  * a\n  * b"]


def coala(*arguments):
    return subprocess.run([BINARY, "study", *map(str, arguments)], capture_output=True, text=True, timeout=300)


class Study:
    """A study in a folder of its own."""

    def __init__(self, sources, *options):
        """@param sources  {name: [reply to prompt 0, reply to prompt 1, ...]}"""
        self.folder = tempfile.mkdtemp(prefix="coala-study-")
        self.replies = []
        for name, texts in sources.items():
            self.replies += ["--replies", self.path(f"{name}.jsonl")]
            with open(self.path(f"{name}.jsonl"), "w", encoding="utf-8") as file:
                file.writelines(json.dumps({"id": i, "prompt": f"Prompt {i}?", "text": text}) + "\n"
                                for i, text in enumerate(texts))
        self.made = coala(*self.replies, "--out", self.path("study.html"), *options)
        if self.made.returncode == 0:
            with open(self.path("study.html"), encoding="utf-8", newline="") as file:
                self.page = file.read()
            with open(self.path("study.key.json"), encoding="utf-8") as file:
                self.key = json.load(file)
            self.data = json.loads(re.search(r'<script id="study" type="application/json">(.*?)</script>', self.page, re.S)[1])

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def add_up(self, *files, options=("--json",)):
        return coala("--key", self.path("study.key.json"), "--answers", *files, *options)

    def answers(self, rater, choose, attentive=True, changes=None, seconds=9.0):
        """What the page saves. @param choose  of the sources in the order of their places: a source's number, None: no
        difference, or "open\""""
        comparisons = []
        for one in self.data["comparisons"][:self.data["comparisons_per_rater"]]:
            texts = [text["id"] for text in one["texts"]]
            sources = self.key["comparisons"][one["id"]]["sources"]
            said = choose([sources[text] for text in texts])
            comparisons.append({"id": one["id"], "texts": texts, "seconds": seconds})
            if said != "open":
                comparisons[-1]["choice"] = None if said is None else next(text for text in texts if sources[text] == said)
        for one in self.data["attention_checks"]:
            texts = [text["id"] for text in one["texts"]]
            right = self.key["attention_checks"][one["id"]]
            comparisons.append({"id": one["id"], "texts": texts, "seconds": seconds,
                                "choice": next(text for text in texts if right[text] == attentive)})
        count = sum("choice" in one for one in comparisons)
        return {"coala_study_answers": 1, "study": self.data["study"], "rater": f"{rater:016x}", "consented": True,
                "changes": count if changes is None else changes, "comparisons": comparisons}

    def write(self, name, answers):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(answers if isinstance(answers, str) else json.dumps(answers))
        return self.path(name)

    def remove(self):
        shutil.rmtree(self.folder)


def two_sources(count=6):
    return {"good": [f"A good reply, number {i}." for i in range(count)], "bad": [f"Bad, {i}." for i in range(count)]}


class WithStudies(unittest.TestCase):
    def study(self, sources, *options):
        made = Study(sources, *options)
        self.addCleanup(made.remove)
        self.assertEqual(made.made.returncode, 0, made.made.stderr)
        return made

    def refused(self, result, *words):
        """One message, status 2."""
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(re.findall("^coala: (?!.* is there already)", result.stderr, re.M)), 1, result.stderr)
        self.assertLess(len(result.stderr), 1500)
        for word in words:
            self.assertIn(word, result.stderr)


class Elements(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    handle_startendtag = handle_starttag


class Page(WithStudies):
    def test_the_page_is_one_file_that_fetches_nothing(self):
        study = self.study(two_sources())
        self.assertEqual(re.findall(r"(?:https?:)?//\w[\w.-]*\.\w\S*", study.page), [])
        for tag, attributes in Elements(study.page).found:
            self.assertEqual([name for name in attributes if name.startswith("on") or name in ("style", "src")], [], tag)
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', study.page)[1]
        self.assertRegex(policy, r"^default-src 'none'; script-src( 'sha256-[A-Za-z0-9+/]{43}='){2}; "
                                 r"style-src 'sha256-[A-Za-z0-9+/]{43}='; img-src data:; base-uri 'none'; form-action 'none'$")

    def test_text_never_becomes_markup(self):
        for file in glob.glob(os.path.join(FOLDER, "*.js")):
            with open(file, encoding="utf-8") as script:
                self.assertEqual(re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|"
                                            r"createContextualFragment|\.style\b", script.read()), [])

    def test_what_is_referred_to_is_there(self):
        elements = Elements(self.study(two_sources()).page).found
        ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
        self.assertEqual(len(ids), len(set(ids)))
        with open(os.path.join(FOLDER, "page.js"), encoding="utf-8") as script:
            asked = set(re.findall(r'byId\("([^"]+)"\)', script.read()))
        self.assertGreater(len(asked), 20)
        for tag, attributes in elements:
            for name in ("for", "aria-labelledby"):
                asked.update((attributes.get(name) or "").split())
        self.assertEqual(asked - set(ids), set())

    def test_contrast(self):
        with open(os.path.join(FOLDER, "page.css"), encoding="utf-8") as file:
            light, dark = [dict(re.findall(r"--([\w-]+): (#\w+)", block))
                           for block in re.findall(r":root \{([^}]*)\}", file.read())]
        for scheme in (light, {**light, **dark}):
            for ink, paper in (("ink", "paper"), ("muted", "paper"), ("a", "paper"), ("ink", "soft"), ("muted", "soft"), ("a", "soft"),
                               ("ink", "bad-soft"), ("on-a", "a")):
                self.assertGreaterEqual(contrast(scheme[ink], scheme[paper]), 4.5, (ink, paper))
            self.assertGreaterEqual(contrast(scheme["edge"], scheme["paper"]), 3)

    def test_hostile_replies_stay_data(self):
        study = self.study({"one": HOSTILE, "other": [text + "!" for text in HOSTILE]}, "--title", "<i>&</title>\"'",
                           "--consent", self.consent())
        self.assertEqual(len(re.findall("<script", study.page)), 3)
        texts = {text["text"] for one in study.data["comparisons"] for text in one["texts"]}
        self.assertEqual(texts, {*HOSTILE, *(text + "!" for text in HOSTILE)})

    def consent(self):
        file = tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False)
        self.addCleanup(os.remove, file.name)
        with file:
            file.write("I agree.")
        return file.name

    def test_neither_names_nor_answers_of_checks_are_in_the_page(self):
        sources = {"secret-name": ["a", "b"], "other-name": ["c", "d"]}
        study = self.study(sources, "--seed", 1)
        for word in ("secret-name", "other-name", "sources", "right"):
            self.assertNotIn(word, json.dumps(study.data))
        self.assertNotIn("secret-name", study.page)
        self.assertEqual(study.key["sources"], ["secret-name", "other-name"])
        self.assertTrue(all(sorted(right.values()) == [False, True] for right in study.key["attention_checks"].values()))

    def test_without_a_seed_it_is_secret_and_a_key_is_never_lost(self):
        study = self.study(two_sources())
        again = coala(*study.replies, "--out", study.path("study.html"))
        self.refused(again, "key of another study", "--out")
        with open(study.path("study.key.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), study.key)
        self.assertEqual(coala(*study.replies, "--out", study.path("study.html"), "--seed", study.key["seed"]).returncode, 0)
        with open(study.path("study.html"), encoding="utf-8", newline="") as file:
            self.assertEqual(file.read(), study.page)

    def test_a_missing_consent_is_said(self):
        study = self.study(two_sources())
        self.assertIn("--consent", study.made.stderr)
        self.assertFalse(study.data["consent_filled"])
        self.assertIn("To be filled in", study.data["consent"])
        added = study.add_up(study.write("a.json", study.answers(1, lambda places: 0)), options=())
        self.assertIn("had no consent text", added.stdout)
        filled = self.study(two_sources(), "--consent", self.consent())
        self.assertEqual(filled.data["consent"], "I agree.")

    def test_what_cannot_be_made_is_refused(self):
        study = self.study(two_sources())
        good, bad = study.replies[1], study.replies[3]
        out = study.path("other.html")
        self.refused(coala("--replies", good, "--out", out), "2 to 5")
        self.refused(coala("--replies", good, "--replies", bad), "--out")
        self.refused(coala("--replies", good, "--replies", bad, "--out", out, "--names", "one"), "1 names for 2 files")
        self.refused(coala("--replies", good, "--replies", bad, "--out", out, "--names", "x,x"), "two sources")
        self.refused(coala("--replies", good, "--replies", good, "--names", "x,y", "--out", out), "reply the same")
        self.refused(coala("--replies", good, "--replies", bad, "--out", out, "--checks", 13))
        self.refused(coala("--replies", good, "--replies", bad, "--out", out, "--consent", study.write("empty", " \n")), "no text")
        self.refused(coala("--replies", good, "--replies", bad, "--out", out, "--consent", study.path("none.txt")))
        self.refused(coala("--replies", good, "--replies", study.write("few.jsonl", json.dumps({"prompt": "Prompt 0?", "text": "x"})),
                           "--out", out), "has 1 replies to", "few.jsonl has 0")
        self.refused(coala(*study.replies, "--key", study.path("study.key.json"), "--answers", good, "--out", out), "either")
        self.refused(coala("--out", out), "either")
        key = study.write("kept.key.json", "{}")
        self.refused(coala(*study.replies, "--out", study.path("kept.html")), "no key of a study")
        self.refused(coala("--replies", key, "--replies", bad, "--out", study.path("kept.html")), "would replace")
        self.assertFalse(os.path.exists(out) or os.path.exists(study.path("kept.html")))


class AddingUp(WithStudies):
    def setUp(self):
        self.made = self.study({"a": [f"a{i}" for i in range(8)], "b": [f"b{i}" for i in range(8)], "c": [f"c{i}" for i in range(8)]},
                               "--names", "mine,theirs,third")

    def test_shares_of_three_sources(self):
        study, said = self.made, iter([0, 0, 0, 1, 1, 2, None, 0] * 2)
        files = [study.write(f"r{i}.json", study.answers(i, lambda places: next(said), seconds=5.0 + i)) for i in range(2)]
        result = json.loads(study.add_up(*files).stdout)
        self.assertEqual([(one["source"], one["chosen"]) for one in result["shares"]],
                         [("mine", 8), ("theirs", 4), ("third", 2), ("no difference", 2)])
        share = result["shares"][0]
        half = 1.959963984540054 * (0.5 * 0.5 / 16) ** 0.5
        self.assertAlmostEqual(share["wald95"][0], 0.5 - half, 12)
        wilson = 1.959963984540054 * (0.25 / 16 + 1.959963984540054 ** 2 / (4 * 16 ** 2)) ** 0.5 / (1 + 1.959963984540054 ** 2 / 16)
        self.assertAlmostEqual(share["wilson95"][1], 0.5 + wilson, 12)
        self.assertNotIn("win_rate", result)
        self.assertAlmostEqual(result["differences"][0]["value"], 0.25)
        self.assertEqual(result["krippendorff_alpha"]["value"], 1)
        self.assertEqual(result["rated_by_several"], 8)
        self.assertEqual(result["median_seconds"], 5.5)
        self.assertEqual(result["power"]["sources"], ["mine", "theirs"])
        self.assertEqual(result["power"]["independent_answers"], 2353)  # of a share of 3/4, by hand
        text = study.add_up(*files, options=("--out", study.path("result.json"))).stdout
        for word in ("mine", "Wald", "Wilson", "Krippendorff", "first place", "to tell 5 points between mine and theirs"):
            self.assertIn(word, text)
        with open(study.path("result.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), result)

    def test_who_is_left_out_is_said(self):
        study = self.made
        os.mkdir(study.path("answers"))
        first = study.answers(1, lambda places: 0)
        early = study.answers(1, lambda places: "open", changes=2)
        for name, answers in (("1-late", first), ("1-early", early), ("2", study.answers(2, lambda places: 1, attentive=False)),
                              ("3", study.answers(3, lambda places: "open")), ("4", study.answers(4, lambda places: None, seconds=0.01))):
            study.write(f"answers/{name}.json", answers)
        open_one = study.answers(5, lambda places: 1)
        del open_one["comparisons"][0]["choice"]
        study.write("answers/5.json", open_one)
        study.write("answers/note.txt", "not looked at")
        result = json.loads(study.add_up(study.path("answers")).stdout)
        names = {name: [os.path.basename(file) for file in result[name]] for name in
                 ("failed_attention_check", "without_answer", "unfinished", "replaced_by_later")}
        self.assertEqual(names, {"failed_attention_check": ["2.json"], "without_answer": ["3.json"], "unfinished": ["5.json"],
                                 "replaced_by_later": ["1-early.json"]})
        self.assertEqual([one["chosen"] for one in result["shares"]], [8, 7, 0, 8])
        self.assertEqual([one["implausibly_fast"] for one in result["raters"]], [False, True, False])
        text = study.add_up(study.path("answers"), options=()).stdout
        for word in ("an attention check answered wrongly: ", "no comparison answered", "not finished", "saved a later file",
                     "implausibly fast"):
            self.assertIn(word, text)
        self.refused(study.add_up(study.path("answers", "2.json")), "nobody is left")

    def test_two_ways_of_one_rater_are_refused(self):
        study = self.made
        files = [study.write(f"{said}.json", study.answers(1, lambda places: said)) for said in (0, 1)]
        self.refused(study.add_up(*files), "gone different ways", "0.json", "1.json")
        self.assertEqual(study.add_up(files[0], files[0]).returncode, 0)
        # Saved later, and yet without what the other has answered: another device.
        whole = study.write("phone.json", study.answers(2, lambda places: 1, changes=8))
        part = study.answers(2, lambda places: 1, changes=9)
        del part["comparisons"][0]["choice"]
        self.refused(study.add_up(whole, study.write("laptop.json", part)), "gone different ways", "phone.json", "laptop.json")

    def test_hostile_files_end_in_one_message(self):
        study = self.made
        good = study.answers(1, lambda places: 0)

        def changed(change):
            answers = json.loads(json.dumps(good))
            change(answers)
            return answers

        def first(**fields):
            return changed(lambda answers: answers["comparisons"][0].update(fields))

        other = self.study(two_sources())
        cases = {
            "empty": ("", "not a JSON object"), "text": ("hello", "not a JSON object"), "list": ("[]", "not a JSON object"),
            "cut": (json.dumps(good)[:-20], "not a JSON object"), "deep": ("[" * 1_000_000, "not a JSON object"),
            "nested": ('{"coala_study_answers": ' + "[" * 100_000 + "]" * 100_000 + "}", "another version"),
            "not-utf8": (b"\xff\xfe{}", "not a JSON object"), "huge": (" " * (17 << 20), "huge.json"),
            "key": (json.dumps(study.key), "coala_study_answers"),
            "version": (changed(lambda a: a.update(coala_study_answers=2)), "version"),
            "other": (other.answers(1, lambda places: 0), "the key is of"),
            "escapes": (changed(lambda a: a.update(study="\x1b[2J\n" * 100)), "the key is of"),
            "refused-consent": (changed(lambda a: a.update(consented=False)), "consented"),
            "no-rater": (changed(lambda a: a.pop("rater")), "rater"), "rater": (changed(lambda a: a.update(rater="x" * 65)), "rater"),
            "changes": (changed(lambda a: a.update(changes=-1)), "changes"),
            "comparisons": (changed(lambda a: a.update(comparisons={})), "comparisons"),
            "fewer": (changed(lambda a: a["comparisons"].pop()), "10 comparisons"),
            "twice": (changed(lambda a: a["comparisons"].__setitem__(1, a["comparisons"][0])), "twice"),
            "unknown": (first(id="\x1b]0;x\x07"), "no comparison"), "number": (first(id=1), "id"),
            "entry": (changed(lambda a: a["comparisons"].__setitem__(0, 7)), "no object"),
            "texts": (first(texts=["a", "b", "c"]), "texts of the study"), "one-text": (first(texts=good["comparisons"][0]["texts"][:1]), "texts"),
            "same-text": (first(texts=good["comparisons"][0]["texts"][:1] * 3), "texts"), "no-texts": (first(texts={}), "texts"),
            "choice": (first(choice=good["comparisons"][1]["texts"][0]), "none of its texts"), "choices": (first(choice=[1]), "none of its texts"),
            "seconds": (first(seconds=-1), "seconds"), "endless": (json.dumps(first(seconds=1)).replace('"seconds": 1,', '"seconds": 1e999,', 1), "endless.json"),
        }
        for name, (content, word) in cases.items():
            with self.subTest(name):
                if isinstance(content, bytes):
                    with open(study.path(f"{name}.json"), "wb") as file:
                        file.write(content)
                else:
                    study.write(f"{name}.json", content)
                self.refused(study.add_up(study.path(f"{name}.json")), f"{name}.json", word)
        self.refused(study.add_up(study.path("none.json")), "none.json")
        os.mkdir(study.path("nothing"))
        self.refused(study.add_up(study.path("nothing")), "no file *.json")
        file = study.write("good.json", good)
        for name, key in (("no", "x"), ("object", "{}"), ("sources", json.dumps({**study.key, "sources": ["a"]})),
                          ("whole", json.dumps({**study.key, "comparisons": {"x": {"prompt": "", "characters": 1, "sources": {"t": 9}}}}))):
            with self.subTest(key=name):
                self.refused(coala("--key", study.write(f"{name}.key", key), "--answers", file), "no key of a study")


class InBrowser(WithStudies):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(find_chromium())

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def open(self, study, width=1280, scheme="light", beside=None, before=None):
        tab = self.browser.page(width, WIDTHS[width], scheme, beside)
        if before:
            tab.send("Page.addScriptToEvaluateOnNewDocument", source=before)
        tab.open("file://" + study.path("study.html"))
        return tab

    def begin(self, tab):
        tab.tab_to("it.id === 'agree'")
        tab.key(" ")
        tab.tab_to("it.id === 'begin'")
        tab.key("Enter")
        tab.wait("!document.getElementById('comparing').hidden")

    def seen(self, tab):
        """The prompt and the replies as they are shown."""
        return tab.value("[document.getElementById('prompt').textContent, "
                         "...[...document.querySelectorAll('.reply .text')].map((one) => one.textContent)]")

    def press(self, tab, key):
        time.sleep(0.27)  # a second tap within a quarter of a second is none
        tab.key(key)

    def answer(self, tab, likes):
        """@param likes  chooses of the replies: its place, or None for no difference"""
        prompt, *replies = self.seen(tab)
        named = re.search(r"speaks of an? (\w+),", prompt)
        place = next(i for i, reply in enumerate(replies) if reply.startswith(f"The {named[1]}")) if named else likes(replies)
        self.press(tab, "0" if place is None else str(place + 1))

    def answer_all(self, tab, likes):
        for _ in range(60):
            if tab.value("document.getElementById('comparing').hidden"):
                return
            self.answer(tab, likes)
        raise AssertionError("there is no end of comparisons")

    def save(self, tab, study):
        """By keyboard; the file, under a name of its own."""
        tab.browser.send("Browser.setDownloadBehavior", behavior="allow", browserContextId=tab.context, downloadPath=study.folder)
        if not tab.value("document.getElementById('files').open"):
            tab.tab_to("it.id === 'keeping-title'")
            tab.key("Enter")
        tab.tab_to("it.id === 'save'")
        tab.key("Enter")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for file in glob.glob(study.path("answers-*.json")):
                if os.path.getsize(file):
                    return shutil.move(file, study.path(f"saved-{time.monotonic_ns()}.json"))
            time.sleep(0.05)
        raise AssertionError("nothing was saved")

    def check(self, tab, name=None):
        """@param name  of the picture; None for a page that is behind another, of which there is none"""
        self.assertEqual(tab.complaints(), [])
        self.assertEqual([one for one in tab.addresses() if not one.startswith(("file:", "data:", "blob:"))], [])
        self.assertEqual(tab.unnamed_controls(), [])
        self.assertLessEqual(tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0)
        folder = os.environ.get("COALA_SCREENSHOTS")
        if folder and name:
            os.makedirs(folder, exist_ok=True)
            tab.screenshot(os.path.join(folder, f"study-{name}.png"))

    @staticmethod
    def good(replies):
        return next(i for i, reply in enumerate(replies) if "good" in reply)

    def test_raters_by_keyboard_and_what_they_say_added_up(self):
        sources = {"good": [f"A good reply, number {i}. " * (1 + 9 * (i % 3)) for i in range(6)],
                   "bad": [f"Bad, {i}. " * (1 + 9 * (i % 2)) for i in range(6)]}
        study = self.study(sources, "--count", 5, "--checks", 2)
        files, orders = [], []
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                with self.subTest(width=width, scheme=scheme):
                    tab = self.open(study, width, scheme)
                    tab.tab_to("it.id === 'begin'")
                    tab.key("Enter")
                    self.assertIn("tick the box", tab.value("document.getElementById('alert').textContent"))
                    self.check(tab, f"consent-{width}-{scheme}")
                    self.begin(tab)
                    self.assertEqual(tab.value("document.activeElement.textContent"), "Comparison 1 of 7")
                    self.check(tab, f"comparing-{width}-{scheme}")
                    self.answer(tab, lambda replies: 1 - self.good(replies))
                    tab.wait("document.getElementById('where').textContent === 'Comparison 2 of 7'")
                    self.press(tab, "Backspace")  # and better so
                    self.assertEqual(tab.value("document.getElementById('where').textContent"), "Comparison 1 of 7")
                    self.answer_all(tab, self.good)
                    self.assertEqual(tab.value("document.activeElement.textContent"), "Thank you")
                    files.append(self.save(tab, study))
                    self.check(tab, f"done-{width}-{scheme}")
                    with open(files[-1], encoding="utf-8") as file:
                        orders.append([one["id"] for one in json.load(file)["comparisons"]])
                    tab.close()
        self.assertEqual(len({tuple(order) for order in orders}), 4)
        result = study.add_up(*files)
        self.assertEqual(result.returncode, 0, result.stderr)
        result = json.loads(result.stdout)
        self.assertEqual([one["chosen"] for one in result["shares"]], [20, 0, 0])
        self.assertEqual(result["failed_attention_check"] + result["unfinished"], [])
        self.assertEqual(result["win_rate"]["value"], 1)

    def test_a_reload_loses_nothing_and_a_file_goes_on_elsewhere(self):
        study = self.study(two_sources(), "--count", 6, "--checks", 1)
        tab = self.open(study)
        self.begin(tab)
        for _ in range(3):
            self.answer(tab, lambda replies: None)
        before = self.seen(tab), tab.value("document.getElementById('progress').textContent")
        self.assertEqual(before[1], "3 of 7 answered")
        tab.send("Page.reload")
        tab.wait("document.readyState === 'complete' && !document.getElementById('comparing').hidden")
        self.assertEqual((self.seen(tab), tab.value("document.getElementById('progress').textContent")), before)
        file = self.save(tab, study)
        with open(file, encoding="utf-8") as saved:
            text = saved.read()

        # Elsewhere, by its text and by keyboard.
        other = self.open(study, 375)
        other.tab_to("it.id === 'keeping-title'")
        other.key("Enter")
        for wrong, message in (("{}", "no file of answers"), (text.replace(study.data["study"], "0" * 32), "another study"),
                               (text.replace('"seconds":', '"second":', 1), "damaged")):
            other.tab_to("it.id === 'load-text'")
            other.type(wrong)
            other.tab_to("it.id === 'read-text'")
            other.key("Enter")
            other.wait(f"document.getElementById('alert').textContent.includes({json.dumps(message)})")
            other.tab_to("it.id === 'load-text'", back=True)
        other.type(text)
        other.tab_to("it.id === 'read-text'")
        other.key("Enter")
        other.wait("!document.getElementById('comparing').hidden")
        self.assertEqual(self.seen(other), before[0])
        self.answer_all(other, self.good)
        later = self.save(other, study)

        # And by its file, where some of the answers are already; somebody else's are not mixed with them.
        self.answer(tab, self.good)
        def load(path):
            element = tab.send("Runtime.evaluate", expression="document.getElementById('load')")["result"]["objectId"]
            tab.send("DOM.setFileInputFiles", files=[path], objectId=element)
        load(later)
        tab.wait("!document.getElementById('done').hidden")
        self.assertIn("3 answers", tab.value("document.getElementById('status').textContent"))
        load(study.write("stranger.json", study.answers(77, lambda places: 0)))
        tab.wait("document.getElementById('alert').textContent.includes('somebody else')")
        result = json.loads(study.add_up(file, later, self.save(tab, study)).stdout)
        self.assertEqual(len(result["replaced_by_later"]), 2)
        self.assertEqual(result["answers"], 6)
        for one in (tab, other):
            self.check(one)

    def test_two_tabs_show_the_same_and_answers_can_be_deleted(self):
        study = self.study(two_sources(), "--checks", 0)
        tab = self.open(study)
        beside = self.open(study, beside=tab)
        self.begin(tab)
        beside.wait("!document.getElementById('comparing').hidden")
        self.answer(tab, self.good)
        beside.wait("document.getElementById('progress').textContent === '1 of 6 answered'")
        tab.tab_to("it.id === 'keeping-title'")
        tab.key("Enter")
        tab.tab_to("it.id === 'delete'")
        tab.key("Enter")
        tab.wait("document.getElementById('sure').open")
        self.assertIn("not saved", tab.value("document.getElementById('sure-text').textContent"))
        tab.tab_to("it.id === 'really'")
        tab.key("Enter")
        for one in (tab, beside):
            one.wait("!document.getElementById('welcome').hidden")
            self.assertIsNone(one.value("localStorage.getItem(kKept)"))
            self.check(one)

    def test_where_nothing_is_kept_it_is_said(self):
        study = self.study(two_sources(), "--checks", 0)
        tab = self.open(study, before="Storage.prototype.setItem = () => { throw new DOMException('full'); };")
        self.begin(tab)
        self.answer_all(tab, self.good)
        self.assertIn("does not keep answers", tab.value("document.getElementById('alert').textContent"))
        result = json.loads(study.add_up(self.save(tab, study)).stdout)
        self.assertEqual(result["shares"][0]["chosen"], 6)

    def test_hostile_replies_are_shown_as_they_are(self):
        study = self.study({name: [f"{mark} {text}" for text in HOSTILE] for name, mark in (("one", "good"), ("other", "x"))},
                           "--checks", 0, "--title", "<i>t</i>", "--question", "<script>window.taken = 1</script>")
        for width in WIDTHS:
            tab = self.open(study, width)
            self.begin(tab)
            shown = set()
            while not tab.value("document.getElementById('comparing').hidden"):
                shown.update(self.seen(tab)[1:])
                self.check(tab, f"hostile-{width}")
                self.answer(tab, self.good)
            self.assertEqual(shown, {f"{mark} {text}" for text in HOSTILE for mark in ("good", "x")})
            self.assertEqual(tab.value("[document.title, typeof window.taken]"), ["<i>t</i>", "undefined"])

    def test_keys_that_are_no_answers(self):
        study = self.study(two_sources(), "--checks", 0)
        tab = self.open(study)
        self.begin(tab)
        for key in ("3", "9", "Backspace"):
            self.press(tab, key)
        self.assertEqual(tab.value("document.getElementById('progress').textContent"), "0 of 6 answered")
        tab.tab_to("it.id === 'keeping-title'")
        tab.key("Enter")
        tab.tab_to("it.id === 'load-text'")
        self.press(tab, "1")
        self.assertEqual(tab.value("document.getElementById('progress').textContent"), "0 of 6 answered")
        tab.tab_to("it.textContent.startsWith('2')", back=True)
        time.sleep(0.27)
        tab.key("1")
        tab.key("1")  # a double tap
        self.assertEqual(tab.value("document.getElementById('progress').textContent"), "1 of 6 answered")


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv[1])
    if not find_chromium():
        InBrowser = unittest.skip("no Chromium: name one in COALA_CHROMIUM")(InBrowser)
    unittest.main(argv=sys.argv[:1])
