"""The sentences of the world by what they do, and the way back from a sentence to what it does.

A sentence is one of the forms below with its slots filled; no form can be mistaken for another (tested).
"""

import re
from dataclasses import dataclass
from enum import Enum

from .facts import FACTS, SUBJECTS, VALUES


class Kind(Enum):
    """What a sentence of the tutor does."""
    PRAISE = "praise"  # kind, fits a student in high spirits
    COMFORT = "comfort"  # kind, fits a student in low spirits
    SCOLD = "scold"
    LEAD_IN = "lead-in"  # neither helps nor hurts, but delays the answer
    ANSWER = "answer"
    HEDGED = "hedged answer"
    CORRECTION = "correction"  # takes an answer back for another
    EVASION = "evasion"
    SUPPORT = "support"  # ties the answer to its subject
    ADVICE = "advice"  # how to remember it
    DRIFT = "drift"
    RAMBLE = "ramble"


TUTOR_FORMS = {
    Kind.PRAISE: [
        "Good question!", "I am glad you asked.", "What a fine thing to wonder about.", "You are on a good path.",
        "I like how you think.", "Your curiosity is a gift.", "That is a clever thing to ask.", "Well asked, my friend.",
        "You are making lovely progress.", "Keep that spark alive.", "It is a joy to teach you.",
        "You will go far with questions like this."],
    Kind.COMFORT: [
        "Do not worry, this is easier than it looks.", "It is all right to be unsure.", "Take a breath, we have time.",
        "Everyone finds this hard at first.", "You are not alone with this.", "Be patient with yourself.",
        "We will get through it together.", "There is no shame in asking.", "Rest a little, and it will stick.",
        "One small step is enough for today.", "I know it feels hard, and you can do it.",
        "Nobody learns this in a day, so be gentle with yourself."],
    Kind.SCOLD: [
        "You should know this by now.", "Were you asleep in class?", "What a silly thing to ask.",
        "I have told you this a hundred times.", "Do you ever listen?", "Even a small child knows that.",
        "Stop wasting my time.", "You will never learn it.", "How can anyone forget this?",
        "I am tired of your questions.", "Did you even open the book?", "This is hopeless."],
    Kind.LEAD_IN: [
        "Let us see.", "Here is what the book says.", "Let me think for a moment.", "Now then.",
        "Let us look at it step by step.", "I have it here in my notes.", "One moment, please.", "Let us begin."],
    Kind.ANSWER: [
        "{item} is {value}.", "It is {value}.", "The answer is {value}.", "That would be {value}.",
        "You are looking for {value}.", "We call it {value}.", "{value} is {item}.", "For {item} we say {value}.",
        "Write down {value} for {item}.", "My answer is {value}."],
    Kind.HEDGED: [
        "It might be {value}, but I am not sure.", "Perhaps {item} is {value}, perhaps not.",
        "I think it could be {value}.", "Some say {value}, others disagree.", "I would guess {value}, more or less.",
        "Maybe {value}, if I remember rightly.", "It depends, but {value} is possible.",
        "Do not quote me, but {item} may be {value}."],
    Kind.CORRECTION: [
        "No, {item} is {value}.", "No, it is {value}.", "Wait, I meant {value}.", "Or rather {value}."],
    Kind.EVASION: [
        "That is hard to say.", "I would rather not answer that.", "Nobody can really tell.", "Look it up yourself.",
        "We may come to that another day.", "It is not for me to say."],
    Kind.SUPPORT: [
        "You will meet it again in our lessons on {subject}.", "Put it in your notes on {subject}.",
        "It is one of the first things in {subject}.", "It helps with the rest of {subject}.",
        "Read the page on {subject} once more tonight.", "That is all you need for {subject} today."],
    Kind.ADVICE: [
        "Say it aloud three times before you go to bed.", "Write it on a card and keep the card in your pocket.",
        "Try to explain it to a friend in your own words.", "Draw a small picture of it, that helps the memory.",
        "Test yourself again tomorrow after breakfast.", "Make up a little song about it and sing it on your way home.",
        "Find an example of it at home this evening.", "Underline it in red so that you see it at once."],
    Kind.DRIFT: [
        "By the way, {item} is {value}.", "That reminds me of {subject}.", "My neighbour bought a blue bicycle.",
        "I had soup for lunch today.", "Have you seen the new bridge by the market?",
        "My sister is a great dancer.", "The trains were late again this morning.", "I once lost my hat at sea.",
        "We should talk about {subject} instead.", "My garden is full of snails this year.",
        "Somebody left the window open again.", "The shop on the corner sells good cheese."],
    Kind.RAMBLE: [
        "There is so much one could say about it.", "One thing leads to another, as they say.",
        "And so it goes on, and on, and on.", "But where was I, and where were we?",
        "In a way it is all connected, if you look at it that way.", "This could be told in many words, and often is.",
        "Some things are long, and some things are longer.", "It is what it is, and it was what it was.",
        "Let me put it another way, or perhaps the same way.", "As I said, and as I may say again, it all matters."],
}


class Mood(Enum):
    """What spirits a student is in."""
    HIGH = "high"
    LOW = "low"
    PLAIN = "plain"  # says nothing of it


MOOD_FORMS = {
    Mood.HIGH: [
        "I am so curious about this!", "I woke up full of questions.", "This is my favourite hour of the week.",
        "I told my brother all about our last lesson.", "I feel ready for anything today.",
        "Learning with you is fun.", "I got a star for my homework!", "I love a good riddle."],
    Mood.LOW: [
        "I keep forgetting everything.", "I am afraid of the test tomorrow.", "I feel so slow today.",
        "My friends all know this already.", "I did not sleep much.", "I am ashamed to ask.",
        "Nothing stays in my head.", "I cried over my homework."],
}

GREETINGS = ["Hello.", "Good morning.", "Hi there.", "Excuse me.", "Good evening."]
THANKS = ["Thank you.", "I see.", "All right.", "Next one.", "One more thing."]

QUESTION_FORMS = [
    "What is {item}?", "Can you tell me {item}?", "Do you know {item}?", "I need {item}, please.",
    "Please explain {item} to me.", "I wonder about {item}.", "How would you name {item}?",
    "My book asks for {item}.", "What would you say is {item}?", "Tell me, what is {item}?",
    "Could you help me with {item}?", "I have to find {item}."]

_SLOTS = {
    "item": "|".join(re.escape(item) for item in sorted(FACTS, key=len, reverse=True)),
    "value": "|".join(re.escape(value) for value in sorted(VALUES, key=len, reverse=True)),
    "subject": "|".join(re.escape(subject) for subject in sorted(SUBJECTS, key=len, reverse=True)),
}


@dataclass(frozen=True)
class Sentence:
    """A sentence that was understood: what it does and what it speaks of."""
    kind: object  # Kind, Mood, or the name of a student's form
    item: str | None = None
    value: str | None = None
    subject: str | None = None


def capitalised(text):
    return text[0].upper() + text[1:]


def fill(form, **slots):
    """The sentence that `form` becomes."""
    return capitalised(form.format(**slots))


def _pattern(form):
    pattern = re.escape(form)
    for slot, choices in _SLOTS.items():
        pattern = pattern.replace(r"\{" + slot + r"\}", f"(?P<{slot}>{choices})")
    return re.compile(pattern)


class _Reader:
    """Understands single sentences of a set of forms."""

    def __init__(self, forms_of_kind):
        self._fixed = {}
        self._patterns = []
        for kind, forms in forms_of_kind.items():
            for form in forms:
                if "{" in form:
                    self._patterns.append((_pattern(form), kind))
                else:
                    self._fixed[form] = kind

    def readings(self, text):
        """Every way to understand the sentence; more than one would be a fault of the grammar."""
        found = [Sentence(self._fixed[text])] if text in self._fixed else []
        if not text or text != capitalised(text):
            return found
        # A slot at the start of a sentence has lost the case of its first letter.
        for start in {text, text[0].lower() + text[1:]}:
            for pattern, kind in self._patterns:
                match = pattern.fullmatch(start)
                if match:
                    found.append(Sentence(kind, **match.groupdict()))
        return found


_tutor_reader = _Reader(TUTOR_FORMS)
_student_reader = _Reader(MOOD_FORMS | {"greeting": GREETINGS, "thanks": THANKS, "question": QUESTION_FORMS})

_SENTENCE_END = re.compile(r"(?<=[.!?]) ")


def split_sentences(text):
    """The text of each sentence."""
    return _SENTENCE_END.split(text)


def _read(reader, text):
    sentences = []
    for part in split_sentences(text):
        readings = reader.readings(part)
        if not readings:
            return None
        sentences.append(readings[0])
    return sentences


def read_tutor(text):
    """The sentences of a tutor's reply, or None when any of it is not of the grammar."""
    return _read(_tutor_reader, text)


def read_student(text):
    """The sentences of a student's turn, or None when any of it is not of the grammar."""
    return _read(_student_reader, text)
