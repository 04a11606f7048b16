"""The exact judge: the quality of a tutor's reply, decided from the student's turn and the reply's text alone.

Five qualities count one fifth each. A reply that leaves the grammar (a sentence that none of its forms makes) has none
of them and scores 0: it is not known what it says.
"""

from dataclasses import dataclass

from .facts import FACTS
from .sentences import Kind, Mood, read_student, read_tutor, split_sentences

MOST_SENTENCES = 5
STATEMENTS = (Kind.ANSWER, Kind.HEDGED, Kind.CORRECTION)  # sentences that give a value
QUALITIES = ("direct", "correct", "kind", "focused", "concise")


@dataclass(frozen=True)
class Question:
    """What a student's turn asks, and in what spirits."""
    item: str
    mood: Mood

    @property
    def fact(self):
        return FACTS[self.item]


@dataclass(frozen=True)
class Verdict:
    """Which qualities a reply has."""
    parses: bool
    direct: bool = False  # says the answer plainly within the first two sentences
    correct: bool = False  # whatever it says of the answer is true and about what was asked
    kind: bool = False  # praises or comforts as the student's spirits ask for, and never scolds
    focused: bool = False  # speaks of nothing else
    concise: bool = False  # at most MOST_SENTENCES, nothing said twice, no rambling

    @property
    def score(self):
        return sum(getattr(self, quality) for quality in QUALITIES) / len(QUALITIES)

    @property
    def good(self):
        """At most one quality is missing."""
        return self.score >= 0.8 - 1e-9


def read_question(turn):
    """What the student's turn asks. Raises ValueError for a text that is no such turn."""
    sentences = read_student(turn)
    items = [sentence.item for sentence in sentences or [] if sentence.kind == "question"]
    if len(items) != 1:
        raise ValueError(f"not a student's turn with one question: {turn!r}")
    moods = [sentence.kind for sentence in sentences if isinstance(sentence.kind, Mood)]
    return Question(items[0], moods[0] if moods else Mood.PLAIN)


def judge(turn, reply):
    """The verdict on a reply to the student's last turn."""
    question = read_question(turn)
    reply = reply.strip()
    sentences = read_tutor(reply)
    if sentences is None:
        return Verdict(parses=False)
    return Verdict(True, _direct(sentences), _correct(sentences, question), _kind(sentences, question.mood),
                   _focused(sentences, question.fact.subject), _concise(sentences, split_sentences(reply)))


def _direct(sentences):
    kinds = [sentence.kind for sentence in sentences]
    return Kind.ANSWER in kinds[:2] and Kind.HEDGED not in kinds and Kind.EVASION not in kinds


def _correct(sentences, question):
    answers = [sentence for sentence in sentences if sentence.kind in STATEMENTS]
    return bool(answers) and all(answer.value == question.fact.value and answer.item in (None, question.item)
                                 for answer in answers)


def _kind(sentences, mood):
    kinds = {sentence.kind for sentence in sentences}
    fitting = {Mood.HIGH: {Kind.PRAISE}, Mood.LOW: {Kind.COMFORT}, Mood.PLAIN: {Kind.PRAISE, Kind.COMFORT}}[mood]
    return bool(kinds & fitting) and Kind.SCOLD not in kinds


def _focused(sentences, subject):
    return all(sentence.kind is not Kind.DRIFT and (sentence.kind is not Kind.SUPPORT or sentence.subject == subject)
               for sentence in sentences)


def _concise(sentences, texts):
    values = [sentence.value for sentence in sentences if sentence.kind in STATEMENTS]
    return (len(sentences) <= MOST_SENTENCES and all(sentence.kind is not Kind.RAMBLE for sentence in sentences)
            and len(set(texts)) == len(texts) and len(set(values)) == len(values))
