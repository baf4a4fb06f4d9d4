# SPDX-License-Identifier: Apache-2.0
"""The checker of tests.integration.history on histories written by hand: it must find what is wrong
and nothing else."""

import random
import unittest

from tests.integration.history import Move, Pull, Read, check

MOVES = [Move("a", 0, 10), Move("b", 100, 110), Move("c", 200, 210)]


def pull(value, start, end, after, read=None):
    read_start, read_end = read or (end, end + 1)
    return Pull(value, start, end, Read(after, read_start, read_end))


class Answers(unittest.TestCase):
    def test_allowed(self):
        for what, value, start, end, after in [
            ("the value did not change", "a", 20, 90, "a"),
            ("the old one while the move is under way", "a", 105, 120, "a"),
            ("the new one while the move is under way", "b", 101, 102, "b"),
            ("the old one, replaced during the call", "a", 50, 150, "b"),
            ("the new one, set during the call", "b", 50, 150, "b"),
            ("one that came and went during the call", "b", 50, 300, "c"),
            ("replaced at the very moment of the call", "a", 110, 120, "b"),
            ("set at the very moment of the answer", "b", 50, 100, "b"),
        ]:
            with self.subTest(what):
                self.assertEqual(check(MOVES, [pull(value, start, end, after)]), [])

    def test_stale(self):
        self.assertEqual(
            check(MOVES, [pull("a", 1_000_110, 1_000_120, "c")]),
            ["stale: answered a, which was replaced 1.0 ms before the call began"])

    def test_stale_by_one_tick(self):
        self.assertEqual(len(check(MOVES, [pull("a", 111, 150, "b")])), 1)

    def test_from_the_future(self):
        self.assertEqual(
            check(MOVES, [pull("c", 120, 199, "c", (300, 301))]), ["answered c before the tag became that"])

    def test_never_there(self):
        self.assertEqual(check(MOVES, [pull("x", 20, 30, "a")]), ["answered x, which the tag never was"])


class After(unittest.TestCase):
    def test_newer_is_allowed(self):
        self.assertEqual(check(MOVES, [pull("a", 20, 30, "c", (220, 221))]), [])

    def test_older(self):
        self.assertEqual(
            check(MOVES, [pull("b", 120, 130, "a")]), ["after the answer b the tag names the older a"])

    def test_missing(self):
        self.assertEqual(check(MOVES, [pull("a", 20, 30, None)]), ["after the answer a the tag names None"])

    def test_read_too_early(self):
        with self.assertRaises(ValueError):
            check(MOVES, [pull("a", 20, 30, "a", (29, 31))])


class Order(unittest.TestCase):
    def test_forward(self):
        reads = [Read("a", 20, 21), Read("b", 120, 121), Read("b", 121, 122), Read(None, 130, 131), Read("c", 220, 221)]
        self.assertEqual(check(MOVES, [], reads), [])

    def test_overlapping_reads_may_disagree(self):
        self.assertEqual(check(MOVES, [], [Read("b", 120, 130), Read("a", 125, 135)]), [])

    def test_back(self):
        self.assertEqual(
            check(MOVES, [], [Read("b", 120, 121), Read("a", 130, 131)]), ["the tag moved back from b to a"])

    def test_back_between_two_pulls(self):
        pulls = [pull("c", 190, 220, "c"), pull("b", 150, 290, "b", (291, 292))]
        self.assertEqual(check(MOVES, pulls), ["the tag moved back from c to b"])

    def test_back_behind_a_long_read(self):
        reads = [Read("a", 0, 500), Read("c", 220, 221), Read("b", 300, 301)]
        self.assertEqual(check(MOVES, [], reads), ["the tag moved back from c to b"])


class Input(unittest.TestCase):
    def test_value_that_comes_back(self):
        with self.assertRaises(ValueError):
            check([Move("a", 0, 1), Move("b", 2, 3), Move("a", 4, 5)], [])

    def test_moves_that_overlap(self):
        with self.assertRaises(ValueError):
            check([Move("a", 0, 10), Move("b", 9, 11)], [])


class Simulated(unittest.TestCase):
    """Random histories of a register that is correct by construction, and of broken ones."""

    def simulate(self, seed, lag):
        rng = random.Random(seed)
        moves, instants, clock = [], [], 0
        for number in range(200):
            start = clock + rng.randrange(1, 50)
            instant = start + rng.randrange(0, 20)
            clock = instant + rng.randrange(0, 20)
            moves.append(Move(f"v{number}", start, clock))
            instants.append(instant)
        pulls = []
        for _ in range(300):
            start = rng.randrange(moves[0].end, clock)
            asked = start + rng.randrange(0, 60)
            at = max(place for place, instant in enumerate(instants) if instant <= asked)
            end = asked + rng.randrange(0, 60)
            newest = max(place for place, instant in enumerate(instants) if instant <= end)
            pulls.append(pull(f"v{max(at - lag, 0)}", start, end, f"v{newest}"))
        return check(moves, pulls)

    def test_correct(self):
        for seed in range(20):
            self.assertEqual(self.simulate(seed, 0), [], seed)

    def test_answers_that_lag_behind(self):
        for seed in range(20):
            self.assertNotEqual(self.simulate(seed, 3), [], seed)


if __name__ == "__main__":
    unittest.main()
