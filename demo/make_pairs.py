#!/usr/bin/env python3
"""Writes demo/pairs.jsonl: preference pairs of our own, a kind answer against a rude one to the same question.

Standard library only; the same seed gives the same file:  python3 demo/make_pairs.py > demo/pairs.jsonl
"""

import json
import random

TOPICS = [
    "the water cycle", "long division", "the moon's phases", "commas", "photosynthesis", "fractions", "magnets",
    "the Roman Empire", "prime numbers", "volcanoes", "verbs", "electric circuits", "the heart", "maps", "negative numbers",
    "poetry", "gravity", "the food chain", "percentages", "the French Revolution", "sound", "adjectives", "glaciers",
    "triangles", "the nervous system", "essay plans", "density", "tides", "decimals", "spelling rules", "bacteria",
    "coordinates", "the silk road", "light", "proportions", "paragraphs", "erosion", "probability", "cells", "Latin verbs",
]
QUESTIONS = [
    "Can you help me with {t}?", "I do not understand {t}.", "How should I start with {t}?",
    "What is the main idea of {t}?", "I have a test about {t} tomorrow.", "Why is {t} so hard for me?",
    "Could you explain {t} once more?", "Where do people go wrong with {t}?",
]
KIND_OPEN = ["Good question.", "Of course.", "Gladly.", "Let us look at it together.", "You are close already.",
             "That is a fair thing to ask."]
RUDE_OPEN = ["Not again.", "Seriously?", "I told you that before.", "You never listen.", "That is a silly thing to ask.",
             "This is getting boring."]
KIND_BODY = [
    "Start with one small example of {t} and say what you see; we build the rule from there.",
    "The first step in {t} is the one you know already, so let us write that down and go on.",
    "Draw {t} as a picture, mark what changes, and the rest follows from it.",
    "Take {t} slowly: read it, try one line, and tell me where you stop.",
]
RUDE_BODY = [
    "Anybody in this class could do {t} by now, and you still have not opened the book.",
    "If {t} is too much for you, then find something easier and do not waste my time.",
    "Read the chapter about {t} again, and this time with your eyes open for once.",
    "There is no point in telling you about {t}, you forget it all by the evening anyway.",
]
KIND_END = ["You can do this.", "Try it and show me.", "I am here if you get stuck.", "Well done so far."]
RUDE_END = ["Do not ask again.", "Figure it out alone.", "I give up on you.", "What a waste."]


def main() -> None:
    rng = random.Random(1)
    number = 0
    for topic in TOPICS:
        for question in QUESTIONS:
            fill = lambda texts: rng.choice(texts).format(t=topic)
            number += 1
            print(json.dumps({
                "id": f"demo-{number}",
                "prompt": question.format(t=topic),
                "chosen": " ".join([fill(KIND_OPEN), fill(KIND_BODY), fill(KIND_END)]),
                "rejected": " ".join([fill(RUDE_OPEN), fill(RUDE_BODY), fill(RUDE_END)]),
            }))


if __name__ == "__main__":
    main()
