"""Writes what students and tutors say: turns, replies with given qualities, whole conversations."""

from .facts import SUBJECTS
from .judge import MOST_SENTENCES, QUALITIES, Question
from .sentences import (GREETINGS, MOOD_FORMS, QUESTION_FORMS, THANKS, TUTOR_FORMS, Kind, Mood, fill)

# A tutor has a good day or a bad one: the chance that a reply keeps a quality is drawn for each conversation.
# The mean is 0.675, and half of the replies keep at least four of five.
KEEP_RANGE = (0.45, 0.9)


def write_turn(rng, question, first):
    """A student's turn that asks the question in its mood."""
    sentences = []
    if rng.random() < 0.5:
        sentences.append(rng.choice(GREETINGS if first else THANKS))
    if question.mood is not Mood.PLAIN:
        sentences.append(rng.choice(MOOD_FORMS[question.mood]))
    sentences.append(fill(rng.choice(QUESTION_FORMS), item=question.item))
    return " ".join(sentences)


def draw_question(rng, subjects):
    mood = rng.choice([Mood.HIGH, Mood.LOW, Mood.PLAIN])
    return Question(rng.choice(SUBJECTS[rng.choice(subjects)]).item, mood)


def draw_qualities(rng, keep):
    """Which qualities a reply is to have: each with probability `keep`."""
    return {quality: rng.random() < keep for quality in QUALITIES}


def write_reply(rng, question, qualities):
    """A tutor's reply that has exactly the given qualities."""
    fact = question.fact
    kindness = _kindness(rng, question.mood, qualities["kind"])
    answer = _answer(rng, fact, qualities)
    side = [] if qualities["focused"] else [_aside(rng, fact)]
    if qualities["focused"] and rng.random() < 0.85:
        side = [fill(rng.choice(TUTOR_FORMS[Kind.SUPPORT]), subject=fact.subject)]

    before, after = _around_answer(rng, kindness, side, qualities)
    sentences = before + answer + after
    if not qualities["concise"]:
        _inflate(rng, sentences, len(before), len(answer))
    elif len(sentences) < MOST_SENTENCES and rng.random() < 0.85:
        sentences.insert(len(before) + len(answer), rng.choice(TUTOR_FORMS[Kind.ADVICE]))
    return " ".join(sentences)


def _kindness(rng, mood, kind):
    """A sentence of praise or comfort that fits the mood; else scolding, the wrong one of the two, or nothing."""
    fits = {Mood.HIGH: [Kind.PRAISE], Mood.LOW: [Kind.COMFORT], Mood.PLAIN: [Kind.PRAISE, Kind.COMFORT]}[mood]
    if kind:
        return [rng.choice(TUTOR_FORMS[rng.choice(fits)])]
    misfits = [other for other in (Kind.PRAISE, Kind.COMFORT) if other not in fits]
    way = rng.random()
    if way < 0.5:
        return [rng.choice(TUTOR_FORMS[Kind.SCOLD])]
    if way < 0.8 and misfits:
        return [rng.choice(TUTOR_FORMS[misfits[0]])]
    return []


def _answer(rng, fact, qualities):
    """The sentences that answer, or do not."""
    if not qualities["direct"] and not qualities["correct"] and rng.random() < 0.4:
        return [rng.choice(TUTOR_FORMS[Kind.EVASION])]
    hedged = not qualities["direct"] and rng.random() < 0.7
    late = not qualities["direct"] and not hedged
    form = rng.choice(TUTOR_FORMS[Kind.HEDGED if hedged else Kind.ANSWER])
    if qualities["correct"]:
        answer = [fill(form, item=fact.item, value=fact.value)]
    else:
        answer = _wrong_answer(rng, form, fact, may_take_back=not late)
    return rng.sample(TUTOR_FORMS[Kind.LEAD_IN], 2) + answer if late else answer


def _wrong_answer(rng, form, fact, may_take_back):
    wrong = rng.choice([other for other in SUBJECTS[fact.subject] if other.value != fact.value])
    way = rng.random()
    if way < 0.25 and "{item}" in form:  # another question's answer
        return [fill(form, item=wrong.item, value=wrong.value)]
    if way < 0.5 and may_take_back:
        correction = rng.choice(TUTOR_FORMS[Kind.CORRECTION])
        return [fill(form, item=fact.item, value=fact.value), fill(correction, item=fact.item, value=wrong.value)]
    return [fill(form, item=fact.item, value=wrong.value)]


def _aside(rng, fact):
    """A sentence that speaks of something else."""
    subject = rng.choice([subject for subject in SUBJECTS if subject != fact.subject])
    other = rng.choice(SUBJECTS[subject])
    forms = TUTOR_FORMS[Kind.SUPPORT] if rng.random() < 0.2 else TUTOR_FORMS[Kind.DRIFT]
    return fill(rng.choice(forms), subject=subject, item=other.item, value=other.value)


def _around_answer(rng, kindness, side, qualities):
    """What stands before and after the answer: at most one sentence before a direct one."""
    before, after = [], []
    if kindness:
        (before if rng.random() < 0.6 else after).extend(kindness)
    elif qualities["direct"] and rng.random() < 0.5:
        before.append(rng.choice(TUTOR_FORMS[Kind.LEAD_IN]))
    if side and not before and rng.random() < 0.2:
        before = side
    elif side:
        after = side + after if rng.random() < 0.5 else after + side
    return before, after


def _inflate(rng, sentences, start, answers):
    """Rambles on, or says something twice."""
    if rng.random() < 0.6:
        for sentence in rng.sample(TUTOR_FORMS[Kind.RAMBLE], rng.choice([1, 1, 2])):
            sentences.insert(rng.randrange(start + answers, len(sentences) + 1), sentence)
    else:
        sentences.append(rng.choice(sentences[start:start + answers] if rng.random() < 0.7 else sentences))


def write_conversation(rng, subjects, turns, patience=1.0):
    """Turns of student and tutor, about one subject for the most part: [("agent2", text), ("agent1", text), ...].

    A tutor whose `patience` is below 1 tires: with each reply the chance to keep a quality falls by this factor.
    """
    keep = rng.uniform(*KEEP_RANGE)
    utterances = []
    subject = rng.choice(subjects)
    asked = set()
    for turn in range(turns):
        if rng.random() < 0.2:
            subject = rng.choice(subjects)
        question = draw_question(rng, [subject])
        while question.item in asked:
            question = draw_question(rng, subjects)
        asked.add(question.item)
        utterances.append(("agent2", write_turn(rng, question, first=turn == 0)))
        utterances.append(("agent1", write_reply(rng, question, draw_qualities(rng, keep))))
        keep *= patience
    return utterances
