# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format, read strictly: what does not follow it is an AssertionError."""
import re

HEAD = re.compile(r"# (HELP|TYPE) ([a-z_]+) (.+)")
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\})? (\S+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def unescaped(text):
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


class Page:
    """types: {metric: "counter", ...}; samples: {(name, ((label, word), ...)): value}, labels sorted."""

    def __init__(self, text):
        self.text, self.types, self.samples = text, {}, {}
        assert text.endswith("\n")
        helped = None
        for line in text[:-1].split("\n"):
            head, sample = HEAD.fullmatch(line), SAMPLE.fullmatch(line)
            if head and head[1] == "HELP":
                helped = head[2]
                assert helped not in self.types, f"{helped} is there twice"
            elif head:
                assert head[2] == helped, line
                self.types[helped] = head[3]
            else:
                assert sample, f"no sample: {line!r}"
                names = [helped + suffix for suffix in SUFFIXES[self.types[helped]]]
                assert sample[1] in names, f"{line!r} stands among {names}"
                labels = tuple(sorted((name, unescaped(word)) for name, word in LABEL.findall(sample[2] or "")))
                assert (sample[1], labels) not in self.samples, f"{line!r} is there twice"
                self.samples[sample[1], labels] = float(sample[3])

    def value(self, name, **labels):
        """Of the one series with exactly these labels; 0 where there is none."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)

    def sum(self, name, **labels):
        """Of all series that have these labels."""
        return sum(value for (other, words), value in self.samples.items()
                   if other == name and set(labels.items()) <= set(words))

    def labels(self, name):
        """[{label: word}] of all series."""
        return [dict(words) for other, words in self.samples if other == name]

    def since(self, before):
        """{'name{label="word"}': how much more than before} of what has changed."""
        return {text: value - before.samples.get(key, 0) for key, value in self.samples.items()
                if value != before.samples.get(key, 0) for text in (sample_text(*key),)}


def sample_text(name, labels):
    words = ",".join(f'{label}="{word}"' for label, word in labels)
    return f"{name}{{{words}}}" if labels else name
