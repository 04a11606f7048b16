#!/usr/bin/env python3
"""The page of `coala serve`: its files by themselves, and in Chromium, on a telephone's width and on a desk's, by
keyboard alone. Without a Chromium (COALA_CHROMIUM, or on the path) it looks at the files, and the rest is skipped.
COALA_SCREENSHOTS names a folder for pictures. Usage: page_test.py BINARY MODEL.gguf"""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import xml.etree.ElementTree as ElementTree

from browser import Browser, find_chromium
from coala_server import QUESTION, TOKENS, Server, align

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src", "serve", "page")
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
WIDTHS = {375: 740, 1280: 860}
SVG = "http://www.w3.org/2000/svg"  # a name, from which nothing is fetched


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def luminance(colour):
    """Of #rgb or #rrggbb, relative, as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scripts = {name: read(name) for name in os.listdir(FOLDER) if name.endswith(".js")}
        cls.page = ElementTree.fromstring(read("index.html").removeprefix("<!DOCTYPE html>"))
        cls.ids = [element.get("id") for element in cls.page.iter() if element.get("id")]

    def test_what_is_referred_to_is_there(self):
        self.assertEqual(len(self.ids), len(set(self.ids)))
        asked = {name for text in self.scripts.values() for name in re.findall(r'byId\("([^"]+)"\)', text)}
        self.assertGreater(len(asked), 30)
        for element in self.page.iter():
            for attribute in ("for", "aria-labelledby", "aria-describedby"):
                asked.update((element.get(attribute) or "").split())
            if (element.get("href") or "").startswith("#"):
                asked.add(element.get("href")[1:])
        self.assertEqual(asked - set(self.ids), set())

    def test_scripts_import_what_others_export(self):
        for name, text in self.scripts.items():
            for names, source in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', text):
                exported = set(re.findall(r"export (?:async )?(?:function\*?|class|const) (\w+)", self.scripts[source]))
                self.assertEqual({one.strip() for one in names.split(",")} - exported, set(), f"{name} from {source}")

    def test_nothing_is_fetched_from_elsewhere(self):
        for name in os.listdir(FOLDER):
            self.assertEqual(re.findall(r"(?:https?:)?//\w[\w.-]*\.\w\S*", read(name).replace(SVG, "")), [], name)

    def test_the_policy_allows_all_that_is_there(self):
        for element in self.page.iter():
            self.assertEqual([one for one in element.keys() if one.startswith("on") or one == "style"], [])
            self.assertNotEqual(element.tag, "style")
            if element.tag == "script":
                self.assertIsNone(element.text)

    def test_text_never_becomes_markup_and_the_key_is_not_kept(self):
        for name, text in self.scripts.items():
            self.assertEqual(re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|"
                                        r"createContextualFragment|localStorage|document\.cookie|indexedDB", text), [], name)

    def test_every_control_has_a_label(self):
        labelled = {label.get("for") for label in self.page.iter("label")}
        for kind in ("input", "select", "textarea"):
            for control in self.page.iter(kind):
                self.assertIn(control.get("id"), labelled)
        for button in [*self.page.iter("button"), *self.page.iter("summary"), *self.page.iter("a")]:
            self.assertTrue("".join(button.itertext()).strip())

    def test_contrast(self):
        light, dark = [dict(re.findall(r"--([\w-]+): (#\w+)", block))
                       for block in re.findall(r":root \{([^}]*)\}", read("page.css"))]
        for scheme in (light, {**light, **dark}):
            for ink in ("ink", "muted", "a", "bad", "b"):
                self.assertGreaterEqual(contrast(scheme[ink], scheme["paper"]), 4.5, ink)
            for ink, paper in (("ink", "soft"), ("muted", "soft"), ("a", "soft"), ("ink", "bad-soft"), ("on-a", "a")):
                self.assertGreaterEqual(contrast(scheme[ink], scheme[paper]), 4.5, ink)
            self.assertGreaterEqual(contrast(scheme["edge"], scheme["paper"]), 3)


class InBrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(find_chromium())
        cls.folder = tempfile.mkdtemp(prefix="coala-page-")
        cls.head = align(BINARY, MODEL, cls.folder, "hens")
        cls.server = Server(BINARY, MODEL, "--head", cls.head)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.browser.close()
        shutil.rmtree(cls.folder)

    def open(self, width, scheme="light", server=None):
        tab = self.browser.page(width, WIDTHS[width], scheme)
        tab.open(f"http://127.0.0.1:{(server or self.server).port}/")
        return tab

    def ask(self, tab, question=QUESTION):
        """By keyboard; waits for the replies."""
        turns = tab.value("document.querySelectorAll('#turns > li').length")
        tab.tab_to("it.id === 'prompt'")
        tab.type(question)
        tab.key("Enter")
        tab.wait(f"document.querySelectorAll('#turns > li').length === {turns + 1}")
        tab.wait("document.querySelector('#turns > li:last-child .actions button')")

    def replies(self, tab):
        return tab.value("[...document.querySelectorAll('#turns > li:last-child .reply')].map((reply) => "
                         "[reply.querySelector('.badge').textContent, reply.querySelector('[aria-live]').textContent])")

    def check(self, tab, name):
        origin = tab.value("location.origin")
        self.assertEqual(tab.complaints(), [])
        self.assertEqual([one for one in tab.addresses() if not one.startswith((origin + "/", "data:"))], [])
        self.assertEqual(tab.unnamed_controls(), [])
        self.assertLessEqual(tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0)
        if folder := os.environ.get("COALA_SCREENSHOTS"):
            os.makedirs(folder, exist_ok=True)
            tab.screenshot(os.path.join(folder, f"{name}.png"))

    def test_files_are_sent_as_they_are(self):
        for name in os.listdir(FOLDER):
            path = "/" if name == "index.html" else f"/{name}"
            status, text, headers = self.server.answer(path)
            self.assertEqual((status, text), (200, read(name)), name)
            self.assertEqual(headers["Content-Security-Policy"], POLICY)
            kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}[name.split(".")[-1]]
            self.assertEqual(headers["Content-Type"], f"{kind}; charset=utf-8")

    def test_a_chat_by_keyboard(self):
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                with self.subTest(width=width, scheme=scheme):
                    tab = self.open(width, scheme)
                    tab.wait("document.querySelectorAll('#sliders input').length === 1")
                    tab.tab_to("it.textContent === 'Settings'")
                    tab.key("Enter")
                    for name, value in (("max-tokens", TOKENS), ("seed", 5)):
                        tab.tab_to(f"it.id === '{name}'")
                        tab.type(str(value))
                    tab.tab_to("it.id === 'prompt'", back=True)
                    self.ask(tab)
                    guided, unguided = [self.server.chat(heads=heads)["choices"][0]["message"]["content"]
                                        for heads in ({"hens": 1}, {})]
                    self.assertNotEqual(guided, unguided)
                    self.assertEqual(self.replies(tab), [["Guided", guided], ["Unguided", unguided]])
                    kinds = [one["response"]["mimeType"] for one in tab.seen("Network.responseReceived")
                             if one["response"]["url"].endswith("/v1/chat/completions")]
                    self.assertEqual(kinds, ["text/event-stream"] * 2)
                    tops = tab.value("[...document.querySelectorAll('.reply')].map((it) => it.getBoundingClientRect().top)")
                    self.assertEqual(tops[0] == tops[1], width > 1000, "side by side where there is room")
                    self.assertEqual(tab.value("document.activeElement.id"), "prompt")
                    self.ask(tab)  # goes on with what was said
                    self.assertEqual(tab.value("document.querySelectorAll('.reply').length"), 4)
                    tab.tab_to("it.textContent === 'Score along'", back=True)
                    tab.key("Enter")
                    tab.wait("document.querySelector('.along figcaption')")
                    text = tab.value("document.querySelector('.along .text').textContent")
                    self.assertEqual(text, tab.value("document.querySelector('.along').previousSibling.textContent"))
                    self.check(tab, f"chat-{width}-{scheme}")
                    tab.close()

    def test_a_slider_by_keyboard(self):
        tab = self.open(1280)
        tab.wait("document.querySelectorAll('#sliders input').length === 1")
        tab.tab_to("it.type === 'range'")
        for _ in range(10):
            tab.key("ArrowLeft")
        tab.wait("document.querySelector('#sliders output').textContent === '0.0'")
        tab.tab_to("it.id === 'prompt'", back=True)
        self.ask(tab)
        self.assertEqual([name for name, _ in self.replies(tab)], ["Unguided"])
        tab.close()

    def test_the_key_is_asked_for(self):
        server = Server(BINARY, MODEL, "--head", self.head, key="sesame")
        self.addCleanup(server.stop)
        tab = self.open(375, server=server)
        tab.wait("document.activeElement.id === 'key'")
        for key in ("wrong", "sesame"):
            tab.wait("!document.getElementById('key-form').hidden")
            tab.tab_to("it.id === 'key'")
            tab.type(key)
            tab.key("Enter")
            tab.wait("document.getElementById('key').value === ''")
        tab.wait("document.querySelectorAll('#sliders input').length === 1")
        self.assertTrue(tab.value("document.getElementById('alert').hidden"))
        self.ask(tab)
        self.assertEqual(tab.value("[sessionStorage.length, localStorage.length, document.cookie]"), [1, 0, ""])
        tab.close()

    def test_errors_are_said_in_words(self):
        tab = self.open(375)
        tab.wait("document.querySelectorAll('#sliders input').length === 1")
        tab.value("document.getElementById('max-tokens').value = 1000000")
        self.ask_in_vain(tab)
        status, text = self.server.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": QUESTION}],
                                                                "max_tokens": 1000000})
        self.assertEqual(status, 400)
        said = tab.value("document.querySelector('.error').textContent")
        self.assertIn(said.replace('"', '\\"'), text)
        self.assertEqual(tab.value("document.getElementById('prompt').value"), QUESTION)  # to try again
        tab.close()

    def ask_in_vain(self, tab):
        tab.tab_to("it.id === 'prompt'")
        tab.type(QUESTION)
        tab.key("Enter")
        tab.wait("document.querySelector('.error')")
        tab.wait("document.getElementById('stop').hidden")

    def test_events_may_end_anywhere(self):
        tab = self.open(1280)
        sent = 'data: {"a": "ü🌊"}\r\n\r\ndata:x\ndata: y\n\n: a comment\n\nevent: z\ndata: [DONE]\n\n'
        tab.value("window.parse = async (text, size) => {"
                  "  const {events} = await import('/api.js'); const bytes = new TextEncoder().encode(text);"
                  "  async function* pieces() { for (let i = 0; i < bytes.length; i += size) yield bytes.slice(i, i + size); }"
                  "  const all = []; for await (const data of events(pieces())) all.push(data); return all; }; 0")
        for size in range(1, len(sent.encode()) + 1):
            found = tab.value(f"parse({sent!r}, {size})")
            self.assertEqual(found, ['{"a": "ü🌊"}', "x\ny", "[DONE]"], size)
        tab.close()

    def test_a_head_says_how_good_it_is(self):
        tab = self.open(375)
        tab.wait("document.querySelector('#sliders a')")
        card = self.server.json("/v1/models/base%2Bhens")["head"]["held_out"]
        said = tab.value("document.querySelector('#sliders .note').textContent")
        accuracy = card["accuracy"]
        for number in (accuracy["value"], accuracy["low"], accuracy["high"], card["baselines"]["length"]["value"]):
            self.assertIn(str(round(100 * number)), said)
        self.assertIn(f"of {card['rows']} held-out", said)
        tab.value("document.querySelector('#sliders a').click()")
        tab.wait("document.title.includes('report') || document.querySelector('main h1')")
        self.assertEqual(tab.value("location.pathname + location.search"), "/report?head=hens")
        self.assertEqual(tab.complaints(), [])
        tab.close()

    def test_two_that_teach_most_and_somebody_elses_lesson(self):
        server = Server(BINARY, MODEL, "--head", self.head, "--teach", os.path.join(self.folder, "telling.jsonl"),
                        "--max-tokens", "24")
        self.addCleanup(server.stop)
        tab = self.open(1280, server=server)
        tab.wait("!document.getElementById('telling').hidden")
        tab.tab_to("it.id === 'prompt'")
        tab.type(QUESTION)
        tab.tab_to("it.id === 'telling'")
        tab.key("Enter")
        tab.wait("document.querySelector('#turns > li:last-child .actions button')")
        replies = self.replies(tab)
        self.assertEqual(len(replies), 2)
        self.assertNotEqual(replies[0][1], replies[1][1])
        self.assertIn("bits", tab.value("document.querySelector('.reply').textContent"))
        tab.tab_to("it.textContent === 'This one is better'", back=True)
        tab.key(" ")
        tab.wait("document.getElementById('lessons').textContent === '1'")
        tab.wait("document.getElementById('status').textContent.startsWith('Learnt')")
        server.json("/v1/feedback", {"messages": [{"role": "user", "content": "x"}], "chosen": "aaa", "rejected": "eee"})
        tab.tab_to("it.id === 'undo'")
        tab.key("Enter")
        tab.wait("document.getElementById('lessons').textContent === '2'")
        self.assertIn("Nothing was taken back", tab.value("document.getElementById('alert').textContent"))
        self.assertEqual(server.json("/v1/feedback")["pairs"], 2)
        self.assertEqual(server.ask("/v1/feedback/last", method="DELETE")[0], 200)
        tab.key("Enter")
        tab.wait("document.getElementById('lessons').textContent === '0'")
        tab.wait("document.querySelectorAll('[aria-pressed=\"true\"]').length === 0")
        tab.close()

    def test_the_pair_scorer_by_keyboard(self):
        tab = self.open(375)
        tab.wait("!document.getElementById('scorer').hidden")
        texts = {"pair-prompt": QUESTION, "pair-first": "a hen", "pair-second": "a tree"}
        for name, text in texts.items():
            tab.tab_to(f"it.id === '{name}'")
            tab.type(text)
        tab.tab_to("it.textContent === 'Score both'")
        tab.key("Enter")
        tab.wait("document.getElementById('pair-result').textContent.includes(' and ')")
        first, second = [one["score"] for one in self.server.json("/v1/score", {
            "text_1": QUESTION, "text_2": [texts["pair-first"], texts["pair-second"]]})["data"]]
        said = tab.value("document.getElementById('pair-result').textContent")
        better, worse = [float(one.replace("\u2212", "-")) for one in re.search(r": (\S+) and (\S+)\.$", said).groups()]
        self.assertAlmostEqual(better, first, delta=0.006)
        self.assertAlmostEqual(worse, second, delta=0.006)
        self.assertIn("first is better" if first > second else "second is better", said)
        self.check(tab, "scorer-375")
        tab.close()

    def test_ratings_an_edit_and_what_is_taken_along(self):
        server = Server(BINARY, MODEL, "--teach", os.path.join(self.folder, "ratings.jsonl"), "--max-tokens", "24")
        self.addCleanup(server.stop)
        tab = self.open(1280, "dark", server)
        tab.send("Browser.setDownloadBehavior", behavior="allow", browserContextId=tab.context, downloadPath=self.folder)
        tab.wait("!document.getElementById('teach-on').hidden")
        for button in ("get-head", "get-model", "get-adapter", "get-pairs", "get-ratings", "undo"):
            self.assertEqual(tab.value(f"document.getElementById('{button}').getAttribute('aria-disabled')"), "true")
        for i, name in enumerate(("Good", "Bad")):
            self.ask(tab, f"{QUESTION} {i}?")
            tab.tab_to(f"it.textContent === '{name}'", back=True)
            tab.key("Enter")
            tab.wait(f"document.getElementById('lessons').textContent === '{i + 1}'")
            tab.wait("document.getElementById('status').textContent.startsWith('Learnt')")
            self.assertEqual(tab.value("document.activeElement.getAttribute('aria-pressed')"), "true")
        ratings = [json.loads(line) for line in server.ask("/v1/feedback/ratings")[1].splitlines()]
        self.assertEqual(len({rating["label"] for rating in ratings}), 2)
        written = self.replies(tab)[-1][1]
        tab.tab_to("it.textContent === 'Edit'")
        tab.key("Enter")
        tab.wait("document.activeElement.tagName === 'TEXTAREA' && document.activeElement.id === ''")
        self.assertEqual(tab.value("document.activeElement.value"), re.sub("\r\n?", "\n", written))  # as HTML has it
        tab.value("document.activeElement.select()")
        tab.type("As it should be.")
        tab.tab_to("it.type === 'submit' && it.id !== 'send'")
        tab.key("Enter")
        tab.wait("document.getElementById('lessons').textContent === '3'")
        tab.wait("document.getElementById('status').textContent.startsWith('Learnt')")
        pair, = [json.loads(line) for line in server.ask("/v1/feedback/pairs")[1].splitlines()]
        self.assertEqual((pair["chosen"], pair["rejected"].strip()), ("As it should be.", written.strip()))
        self.assertEqual(self.replies(tab)[-1][1], "As it should be.")
        self.check(tab, "ratings-1280-dark")
        tab.tab_to("it.id === 'get-head'")
        tab.key("Enter")
        tab.wait("document.getElementById('status').textContent === 'taught.safetensors is saved.'")
        path = os.path.join(self.folder, "taught.safetensors")
        for _ in range(100):
            if os.path.exists(path):
                break
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v1/feedback/head") as answer, open(path, "rb") as file:
            self.assertEqual(file.read(), answer.read())
        tab.close()

    def test_a_lesson_by_keyboard(self):
        if "--teach" not in subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True).stdout:
            self.skipTest("this program has no --teach")
        server = Server(BINARY, MODEL, "--head", self.head, "--teach", os.path.join(self.folder, "lessons.jsonl"),
                        "--max-tokens", "24")  # so that two turns fit into the model's context
        self.addCleanup(server.stop)
        for width, scheme in itertools.product(WIDTHS, ("light", "dark")):
            with self.subTest(width=width, scheme=scheme):
                tab = self.open(width, scheme, server)
                tab.wait("!document.getElementById('teach-on').hidden")
                self.ask(tab)
                tab.tab_to("it.textContent === 'This one is better'", back=True)
                tab.key(" ")
                tab.wait("document.getElementById('lessons').textContent === '1'")
                tab.wait("document.getElementById('status').textContent.startsWith('Learnt')")
                self.assertEqual(tab.value("document.activeElement.getAttribute('aria-pressed')"), "true")
                self.assertEqual(tab.value("document.querySelector('#sliders li:last-child output').textContent"), "1.0")
                self.ask(tab, "Another?")
                self.assertIn("taught 1.0", tab.value("document.querySelector('#turns > li:last-child h4').textContent"))
                tab.tab_to("it.textContent === 'Why?'", back=True)
                tab.key("Enter")
                tab.wait("document.querySelector('.reasons figcaption')")
                self.assertIn("By 1 lesson the log-odds of this reply", tab.value("document.querySelector('.reasons').textContent"))
                self.assertIn("rather than", tab.value("document.querySelector('.reasons li').textContent"))
                self.assertEqual(tab.value("document.activeElement.getAttribute('aria-expanded')"), "true")
                change = server.json("/v1/feedback")["last_change"]
                said = tab.value("document.getElementById('last-change').textContent")
                for odds in (change["before"], change["after"]):
                    self.assertIn(f"{round(100 / (1 + math.exp(-odds)))} %", said)
                self.check(tab, f"teach-{width}-{scheme}")
                tab.tab_to("it.id === 'undo'")
                tab.key("Enter")
                tab.wait("document.getElementById('lessons').textContent === '0'")
                tab.wait("document.querySelectorAll('[aria-pressed=\"true\"]').length === 0")
                tab.close()


def main():
    global BINARY, MODEL
    BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])
    tests = [Files] if find_chromium() is None else [Files, InBrowser]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(test) for test in tests)
    passed = unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful()
    if passed and find_chromium() is None:
        print("there is no Chromium (COALA_CHROMIUM, or chromium on the path): the page was not opened")
        return 77
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
