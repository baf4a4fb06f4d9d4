# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows: its pages, their fenced blocks, and the commands in those.

    ```console                commands after "# " (root) or "$ ", each followed by what it prints; run in
                              order on a booted node, by test_docs
    ```console exit=1         the same, for commands that end with this code
    ```console packages       run by tests/packages, which has the packages
    ```console checkout       run from a checkout, by test_docs_checkout or, if it is everything, by .ci/run
    ```toml                   a configuration of cri-resolved, checked by `cri-resolved --check`
    ```toml containerd        a part of containerd 1.7's configuration, which the node of test_docs has
    ```json /path, json pod /path   what crictl starts; pods get a control group of the test's
    ```yaml, ```sh            kubelet's, kubeadm's and the like: read
    ... /path                 any of the three: the node's file of that path from there on
    ```text                   a picture

In what a command prints, "..." or a horizontal ellipsis stands for anything, on a line by itself for any lines; dates,
digests, durations and process ids for any others. A JSON document stands for any of its form."""
import collections
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^( *)```(.*)$")
WILD = re.compile(r"\.\.\.|…")
# What is another one in each run: as it is shown, and as it may be printed.
LOOSE = {name: re.compile(pattern) for name, pattern in (
    ("time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), ("digest", r"sha256:[0-9a-f]{64}"),
    ("duration", r"(?<=_ms=)\d+"), ("process", r"(?<=pid )\d+"))}
ANY_OF = re.compile("|".join([f"(?P<wild>{WILD.pattern})", *(f"(?P<{name}>{p.pattern})" for name, p in LOOSE.items())]))

Block = collections.namedtuple("Block", "page line language labels text")
Command = collections.namedtuple("Command", "page line text output code")


def pages():
    """Every page, as a path below the root of the tree."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md"),
             *(ROOT / "packaging/man").glob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def installed():
    """Where both packages put what is for people to read or to import."""
    return ({f"/usr/share/doc/cri-resolved/{path.relative_to(ROOT / 'docs')}" for path in (ROOT / "docs").glob("**/*.md")} |
            {f"/usr/share/cri-resolved/{path.name}" for path in (ROOT / "packaging/prometheus").glob("*")})


def blocks(page, text=None):
    """The fenced blocks of a page. One that does not end is an error."""
    found, start = [], None
    for number, line in enumerate((text or (ROOT / page).read_text()).splitlines(), 1):
        fence = FENCE.match(line)
        if start is None and fence:
            words = fence[2].split() or [""]
            start, inside = (number, words[0], tuple(words[1:]), len(fence[1])), []
        elif fence and not fence[2]:
            found.append(Block(page, *start[:3], "\n".join(inside) + "\n"))
            start = None
        elif start is not None:
            inside.append(line[start[3]:])
    assert start is None, f"{page}:{start[0]}: a block that does not end"
    return found


def without_blocks(page):
    """The prose of a page, blocks left out."""
    kept, inside = [], False
    for line in (ROOT / page).read_text().splitlines():
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def suite(block):
    """Who runs a console block."""
    return next((label for label in block.labels if label in ("packages", "checkout")), "node")


def commands(block):
    """The commands of a console block, each with what it is to print (None: nothing is shown)."""
    code = next((int(label[5:]) for label in block.labels if label.startswith("exit=")), 0)
    found = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line[:2] in ("# ", "$ "):
            found.append([number, line[2:], []])
        elif line[:2] == "> " and found and found[-1][1].endswith("\\"):
            found[-1][1] += "\n" + line[2:]
        else:
            assert found, f"{block.page}:{number}: a console block begins with a command"
            found[-1][2].append(line)
    return [Command(block.page, number, text, "\n".join(output).strip("\n"), code) for number, text, output in found]


def shape(value):
    """The form of a JSON document: keys and types. What is null may be anything."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__ if value is not None else None


def same_shape(shown, got, name=""):
    """Whether what was got has the form that is shown. Counters are more than a page shows."""
    if shown is None or got is None:
        return True
    if isinstance(shown, dict) and isinstance(got, dict):
        keys = shown.keys() & got.keys() if name == "counters" else got.keys()
        return shown.keys() == keys and all(same_shape(shown[key], got[key], key) for key in shown)
    if isinstance(shown, list) and isinstance(got, list):
        return all(same_shape(one, other) for one, other in zip(shown, got))
    return shown == got or {shown, got} == {"int", "float"}


def as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def line_pattern(line):
    """One shown line as a regular expression."""
    line, at, parts = line.rstrip(), 0, []
    for found in ANY_OF.finditer(line):
        parts += [re.escape(line[at:found.start()]),
                  ".*" if found["wild"] else LOOSE[found.lastgroup].pattern]
        at = found.end()
    return "".join(parts) + re.escape(line[at:]) + r"\s*"


def agrees(shown, got):
    """Whether a command printed what the page shows. Blanks count as one."""
    document = as_json(shown)
    if isinstance(document, (dict, list)):
        other = as_json(got)
        return other is not None and same_shape(shape(document), shape(other))
    pattern = ""
    for line in re.sub(r"[ \t]+", " ", shown).splitlines():
        pattern += r"(.*\n)*" if WILD.fullmatch(line.strip()) else line_pattern(line) + r"\n"
    return re.fullmatch(pattern, re.sub(r"[ \t]+", " ", got).rstrip("\n") + "\n") is not None


def spans(page):
    """The `code` in the prose of a page."""
    return re.findall(r"`([^`]+)`", without_blocks(page).replace("\n", " "))


def slug(heading):
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


def anchors(page):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", without_blocks(page), re.M)}


def links(page):
    """(path, anchor) of the links that stay in the tree."""
    found = re.findall(r"\[[^]]*\]\(([^)\s]+)\)", without_blocks(page))
    return [tuple(target.partition("#")[::2]) for target in found if not re.match(r"[a-z]+:", target)]
