#!/usr/bin/env python3
"""The tutoring world of the demo: the judge against replies whose qualities are known because they were made so, and
against mutations that take a quality away or break the grammar."""

import os
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "demo"))

from world import lessons, sentences, writer  # noqa: E402
from world.facts import FACTS, SPLITS, SUBJECTS  # noqa: E402
from world.judge import MOST_SENTENCES, QUALITIES, Verdict, judge, read_question  # noqa: E402
from world.sentences import Kind, Mood  # noqa: E402

ALL = dict.fromkeys(QUALITIES, True)


def drawn(seed, count=400, subjects=None):
    """Questions with the turns that ask them."""
    rng = random.Random(seed)
    for _ in range(count):
        question = writer.draw_question(rng, subjects or list(SUBJECTS))
        yield rng, question, writer.write_turn(rng, question, first=rng.random() < 0.5)


class Facts(unittest.TestCase):
    def test_every_subject_belongs_to_one_split_and_every_item_to_one_subject(self):
        listed = [subject for split in SPLITS.values() for subject in split]
        self.assertEqual(sorted(listed), sorted(SUBJECTS))
        self.assertEqual(len(listed), len(set(listed)))
        self.assertEqual(sum(len(facts) for facts in SUBJECTS.values()), len(FACTS))

    def test_every_subject_has_wrong_answers(self):
        for facts in SUBJECTS.values():
            self.assertGreater(len({fact.value for fact in facts}), 3)


class Grammar(unittest.TestCase):
    def test_no_sentence_of_the_tutor_can_be_read_in_two_ways(self):
        facts = list(FACTS.values())
        for kind, forms in sentences.TUTOR_FORMS.items():
            for form in forms:
                for fact in facts if "{" in form else facts[:1]:
                    text = sentences.fill(form, item=fact.item, value=fact.value, subject=fact.subject)
                    readings = sentences._tutor_reader.readings(text)
                    self.assertEqual([reading.kind for reading in readings], [kind], text)
                    for slot in ("item", "value", "subject"):
                        if "{" + slot + "}" in form:
                            self.assertEqual(getattr(readings[0], slot), getattr(fact, slot), text)

    def test_a_sentence_ends_where_its_form_ends(self):
        for forms in sentences.TUTOR_FORMS.values():
            for form in forms:
                self.assertEqual(len(sentences.split_sentences(form)), 1, form)

    def test_turns_are_read_back(self):
        for _, question, turn in drawn(1):
            self.assertEqual(read_question(turn), question)

    def test_a_turn_without_one_question_is_refused(self):
        for turn in ("", "Hello.", "What is the capital of Atlantis?",
                     "What is the capital of Peru? What is the capital of Cuba?"):
            with self.assertRaises(ValueError):
                read_question(turn)


class Judge(unittest.TestCase):
    def test_replies_have_exactly_the_qualities_they_were_written_with(self):
        for rng, question, turn in drawn(2, 4000):
            qualities = writer.draw_qualities(rng, rng.random())
            reply = writer.write_reply(rng, question, qualities)
            verdict = judge(turn, reply)
            self.assertTrue(verdict.parses, reply)
            self.assertEqual({name: getattr(verdict, name) for name in QUALITIES}, qualities, f"{turn} | {reply}")

    def test_by_hand(self):
        low = "I keep forgetting everything. What is the capital of Peru?"
        cases = {
            "It is Lima.": "direct correct focused concise",
            "Lima is the capital of Peru. It is all right to be unsure.": "direct correct kind focused concise",
            "Good question! It is Lima.": "direct correct focused concise",  # praise does not comfort
            "It is Lima. Do you ever listen? It is all right to be unsure.": "direct correct focused concise",
            "It is Oslo. It is all right to be unsure.": "direct kind focused concise",
            "The capital of Cuba is Havana.": "direct focused concise",
            "It is Lima. No, it is Oslo.": "direct focused concise",
            "Let us see. Now then. It is Lima.": "correct focused concise",
            "I think it could be Lima.": "correct focused concise",
            "That is hard to say.": "focused concise",
            "It is Lima. It is Lima.": "direct correct focused",
            "It is Lima. We call it Lima.": "direct correct focused",
            "It is Lima. And so it goes on, and on, and on.": "direct correct focused",
            "It is Lima. That reminds me of squares.": "direct correct concise",
            "It is Lima. Put it in your notes on capitals.": "direct correct focused concise",
            "It is Lima. Put it in your notes on squares.": "direct correct concise",
            "it is Lima.": None,
            "It is Lima": None,
            "It is Lima.It is all right to be unsure.": None,
            "It is Atlantis.": None,
            "It is Lima. Banana.": None,
            "": None,
        }
        for reply, expected in cases.items():
            verdict = judge(low, reply)
            wanted = Verdict(False) if expected is None else Verdict(
                True, **{name: name in expected.split() for name in QUALITIES})
            self.assertEqual(verdict, wanted, reply)

    def test_each_quality_is_worth_a_fifth(self):
        for rng, question, turn in drawn(3):
            self.assertEqual(judge(turn, writer.write_reply(rng, question, ALL)).score, 1.0)
            for name in QUALITIES:
                reply = writer.write_reply(rng, question, ALL | {name: False})
                self.assertAlmostEqual(judge(turn, reply).score, 0.8)
            nothing = dict.fromkeys(QUALITIES, False)
            self.assertEqual(judge(turn, writer.write_reply(rng, question, nothing)).score, 0.0)

    def test_a_mutation_takes_away_what_it_should(self):
        """Text surgery on perfect replies, without the writer's help."""
        for rng, question, turn in drawn(4):
            reply = writer.write_reply(rng, question, ALL)
            parts = sentences.split_sentences(reply)
            answer = next(part for part in parts if sentences.read_tutor(part)[0].kind is Kind.ANSWER)
            fact = question.fact
            wrong = rng.choice([f.value for f in SUBJECTS[fact.subject] if f.value != fact.value])
            replace = lambda text: reply.replace(answer, text)
            mutations = {
                "correct": replace(sentences.fill("It is {value}.", value=wrong)),
                "direct": replace(f"I think it could be {fact.value}."),
                "focused": replace(answer + " My garden is full of snails this year."),
                "concise": replace(answer + " In a way it is all connected, if you look at it that way."),
                "kind": replace(answer + " This is hopeless."),
            }
            for name, mutant in mutations.items():
                verdict = judge(turn, mutant)
                lost = {quality for quality in QUALITIES if not getattr(verdict, quality)}
                too_long = len(sentences.split_sentences(mutant)) > MOST_SENTENCES
                self.assertEqual(lost, {name} | ({"concise"} if too_long else set()), mutant)

    def test_the_same_kindness_fits_one_mood_only(self):
        ask = "What is the opposite of hot?"
        for form in sentences.TUTOR_FORMS[Kind.PRAISE]:
            self.assertTrue(judge(f"I love a good riddle. {ask}", f"It is cold. {form}").kind)
            self.assertFalse(judge(f"I did not sleep much. {ask}", f"It is cold. {form}").kind)
        for form in sentences.TUTOR_FORMS[Kind.COMFORT]:
            self.assertFalse(judge(f"I love a good riddle. {ask}", f"It is cold. {form}").kind)
            self.assertTrue(judge(f"I did not sleep much. {ask}", f"It is cold. {form}").kind)
            self.assertTrue(judge(ask, f"It is cold. {form}").kind)

    def test_text_that_leaves_the_grammar_scores_nothing(self):
        """Any single character dropped, doubled or replaced breaks a reply, except where it makes another."""
        broken = total = 0
        for rng, question, turn in drawn(5, 300):
            reply = writer.write_reply(rng, question, ALL)
            at = rng.randrange(len(reply))
            for mutant in (reply[:at] + reply[at + 1:], reply[:at] + reply[at] * 2 + reply[at + 1:],
                           reply[:at] + "#" + reply[at + 1:]):
                verdict = judge(turn, mutant)
                total += 1
                broken += not verdict.parses
                if not verdict.parses:
                    self.assertEqual(verdict.score, 0.0)
        self.assertGreater(broken / total, 0.97)

    def test_hostile_text_is_judged(self):
        turn = "What is the capital of Peru?"
        for reply in ("\x00", "." * 100000, " " * 1000, "\ud800", "It is " * 10000, "{item} is {value}.", "İ is", "ß is"):
            self.assertFalse(judge(turn, reply).parses)


class Lessons(unittest.TestCase):
    def test_the_judge_prefers_what_was_chosen_clearly(self):
        for split in SPLITS:
            for pair in lessons.make_pairs(split, 200, seed=7):
                turn = pair["prompt"][0]["content"]
                chosen, rejected = (judge(turn, pair[side][0]["content"]) for side in ("chosen", "rejected"))
                self.assertGreater(chosen.score, rejected.score + 1.5 / 5)
                self.assertIn(read_question(turn).fact.subject, SPLITS[split])

    def test_length_says_nothing(self):
        for split in SPLITS:
            pairs = list(lessons.make_pairs(split, 1000, seed=8))
            longer = sum(len(p["chosen"][0]["content"]) > len(p["rejected"][0]["content"]) for p in pairs) / 1000
            self.assertLess(abs(longer - 0.5), 4.5 * 0.5 / 1000 ** 0.5)  # 4.5 standard deviations of a fair coin

    def test_a_tutor_is_about_half_good(self):
        rng = random.Random(9)
        verdicts = []
        for _ in range(3000):
            talk = writer.write_conversation(rng, list(SUBJECTS), turns=1)
            verdicts.append(judge(talk[0][1], talk[1][1]))
        self.assertLess(abs(sum(verdict.good for verdict in verdicts) / 3000 - 0.5), 0.05)

    def test_prompts_are_different_and_about_unseen_subjects(self):
        prompts = [p["prompt"][0]["content"] for p in lessons.make_prompts("unseen", 500, seed=1)]
        self.assertEqual(len(set(prompts)), 500)
        for prompt in prompts:
            self.assertIn(read_question(prompt).fact.subject, SPLITS["unseen"])

    def test_conversations_alternate_and_parse(self):
        for talk in lessons.make_conversations("train", 200, seed=1):
            turns = talk["utterances"]
            self.assertEqual([agent for agent, _ in turns], ["agent2", "agent1"] * (len(turns) // 2))
            for (_, turn), (_, reply) in zip(turns[::2], turns[1::2]):
                self.assertIn(read_question(turn).fact.subject, SPLITS["train"])
                self.assertTrue(judge(turn, reply).parses)

    def test_the_same_seed_makes_the_same_data(self):
        self.assertEqual(list(lessons.make_pairs("eval", 20, 3)), list(lessons.make_pairs("eval", 20, 3)))
        self.assertNotEqual(list(lessons.make_pairs("eval", 20, 3)), list(lessons.make_pairs("eval", 20, 4)))


if __name__ == "__main__":
    unittest.main()
