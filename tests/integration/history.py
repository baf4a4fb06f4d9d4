# SPDX-License-Identifier: Apache-2.0
"""Judges a history of one tag: was every successful pull allowed to answer what it answered?

All times are nanoseconds of CLOCK_MONOTONIC, which every process of a machine shares. A move of
the tag takes effect at some instant between the moment its PUT was sent and the moment the answer
had come; nobody knows when. So a value may have been the tag's from the start of its own move to
the end of the next one, and the two windows of neighbours overlap.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """The registry was told that the tag is `value` from now on. One mover, one move at a time."""
    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Read:
    """What the tag was in containerd at some instant of the interval; None: there was no such name."""
    value: str | None
    start: int
    end: int


@dataclass(frozen=True)
class Pull:
    """A PullImage that answered OK with `value`; `after` was read once the answer was there."""
    value: str
    start: int
    end: int
    after: Read


def check(moves, pulls, reads=()):
    """The violations, as sentences; none: the history keeps the promise."""
    register = _Register(moves)
    found = []
    for pull in pulls:
        found += register.judge_answer(pull)
        found += register.judge_after(pull)
    found += register.judge_order([*reads, *(pull.after for pull in pulls)])
    return found


class _Register:
    def __init__(self, moves):
        self.moves = moves
        self.place = {move.value: at for at, move in enumerate(moves)}
        if len(self.place) != len(moves):
            raise ValueError("a value that comes back cannot be told from one that never left")
        for before, after in zip(moves, moves[1:]):
            if before.end > after.start:
                raise ValueError(f"the moves to {before.value} and {after.value} overlap")

    def judge_answer(self, pull):
        """The value must have been the tag's at some instant of the call."""
        at = self.place.get(pull.value)
        if at is None:
            return [f"answered {pull.value}, which the tag never was"]
        if self.moves[at].start > pull.end:
            return [f"answered {pull.value} before the tag became that"]
        if at + 1 < len(self.moves) and self.moves[at + 1].end < pull.start:
            stale_ms = (pull.start - self.moves[at + 1].end) / 1e6
            return [f"stale: answered {pull.value}, which was replaced {stale_ms:.1f} ms before the call began"]
        return []

    def judge_after(self, pull):
        """containerd's tag must name the answer or something newer."""
        if pull.after.start < pull.end:
            raise ValueError("the tag was read before the answer was there")
        at = self.place.get(pull.after.value)
        if at is None:
            return [f"after the answer {pull.value} the tag names {pull.after.value}"]
        if pull.value in self.place and at < self.place[pull.value]:
            return [f"after the answer {pull.value} the tag names the older {pull.after.value}"]
        return []

    def judge_order(self, reads):
        """Of two reads that do not overlap the later one must not show the older value."""
        known = [read for read in reads if read.value in self.place]
        by_end = sorted(known, key=lambda read: read.end)
        found, newest, at = [], None, 0
        for read in sorted(known, key=lambda read: read.start):
            while at < len(by_end) and by_end[at].end < read.start:
                if newest is None or self.place[by_end[at].value] > self.place[newest.value]:
                    newest = by_end[at]
                at += 1
            if newest is not None and self.place[read.value] < self.place[newest.value]:
                found.append(f"the tag moved back from {newest.value} to {read.value}")
        return found
