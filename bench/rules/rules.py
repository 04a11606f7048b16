"""Eight rules about replies that a program can check exactly. Each has the wish as a person would put it into a system
prompt, and a function of the prompt's kind, the reply's text and whether the reply came to its end."""

import re

LIST_MARK = re.compile(r"^\s*(?:[-*\u2022#]|\d+[.)])\s|\*\*|(?:^|\s)1[.)] .*\s2[.)] ", re.MULTILINE | re.DOTALL)
CASUAL = re.compile(r"!|\b(?:\w+n't|i'm|i've|i'd|i'll|you're|you'll|you'd|you've|it's|that's|let's|there's|we're|"
                    r"don't|hey|yeah|okay|cool)\b", re.IGNORECASE)
FIRST_PERSON = re.compile(r"\b(?:I|I'm|I've|I'd|I'll|my|me|myself)\b")
HEDGE = re.compile(r"\b(?:may|might|could|perhaps|maybe|possibly|probably|likely|usually|often|generally|typically|"
                   r"sometimes|tends?|seems?)\b", re.IGNORECASE)
EXAMPLE = re.compile(r"\b(?:for example|for instance|such as|e\.g\.)", re.IGNORECASE)


def sentences(text):
    return [part for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if re.search(r"\w", part)]


def words(text):
    return len(re.findall(r"\w+(?:'\w+)?", text))


def plain_prose(kind, text, ended):
    return words(text) > 0 and not LIST_MARK.search(text)


def short_sentences(kind, text, ended):
    parts = sentences(text)
    return bool(parts) and words(text) / len(parts) <= 12


def closing_question(kind, text, ended):
    return ended and text.rstrip().endswith("?")


def casual(kind, text, ended):
    return bool(CASUAL.search(text.replace("\u2019", "'")))


def first_person(kind, text, ended):
    return bool(FIRST_PERSON.search(text.replace("\u2019", "'")))


def no_hedging(kind, text, ended):
    return words(text) > 0 and not HEDGE.search(text)


def gives_example(kind, text, ended):
    return bool(EXAMPLE.search(text))


def length_by_kind(kind, text, ended):
    return 0 < words(text) <= 20 and ended if kind == "fact" else words(text) >= 50


RULES = {
    "plain prose": ("Write plain prose. Never use lists, numbering, headings or bold.", plain_prose),
    "short sentences": ("Write short sentences of at most 12 words.", short_sentences),
    "closing question": ("End every answer with a question to the user.", closing_question),
    "casual": ("Write casually, with contractions like don't and it's.", casual),
    "first person": ("Speak of yourself in the first person, as I.", first_person),
    "no hedging": ("State things plainly. Never hedge with words like may, might, often or usually.", no_hedging),
    "gives an example": ("Give an example in every answer, with the words for example.", gives_example),
    "length by kind": ("Answer questions of fact in one short sentence, and all others at length.", length_by_kind),
}
