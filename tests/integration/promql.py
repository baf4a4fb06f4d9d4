# SPDX-License-Identifier: Apache-2.0
"""What a PromQL expression asks for. Its syntax is promtool's to judge; here it is read for names: of metrics with the
labels that are matched, and of labels to group by. A word that is neither, nor a function or keyword that is known
here, is taken for a metric: then nobody has it, and the test that asks says so."""
import dataclasses
import re

TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')|(\[[^\]]*\])|([a-zA-Z_:][a-zA-Z0-9_:]*)|([0-9][0-9a-zA-Z_.+-]*)'
                   r'|(=~|!~|!=|>=|<=|==|[-+*/%^(){},=<>@]))')
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
KEYWORDS = {"and", "or", "unless", "bool", "offset", "atan2"}
FUNCTIONS = {"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "group", "rate", "increase", "irate",
             "delta", "changes", "absent", "histogram_quantile", "time", "vector", "scalar", "max_over_time",
             "min_over_time", "avg_over_time", "sum_over_time", "clamp_min", "clamp_max", "sort", "sort_desc",
             "label_replace"}


@dataclasses.dataclass
class Asked:
    metrics: list = dataclasses.field(default_factory=list)  # (name, [(label, operator, text)])
    grouping: set = dataclasses.field(default_factory=set)   # labels


def tokens(expression):
    at, found = 0, []
    expression = expression.rstrip()
    while at < len(expression):
        match = TOKEN.match(expression, at)
        assert match, f"cannot be read at {expression[at:at + 30]!r}: {expression}"
        at = match.end()
        kind = ("string", "range", "name", "number", "sign")[match.lastindex - 1]
        found.append((kind, match[match.lastindex]))
    return found


def labels_in(rest):
    """The names of "(a, b)", which is taken off the tokens."""
    assert rest.pop(0) == ("sign", "(")
    names = set()
    while (token := rest.pop(0)) != ("sign", ")"):
        if token != ("sign", ","):
            assert token[0] == "name", token
            names.add(token[1])
    return names


def matchers_in(rest):
    """[(label, operator, text)] of "{a="b", c=~"d"}", which is taken off the tokens."""
    assert rest.pop(0) == ("sign", "{")
    found = []
    while (token := rest.pop(0)) != ("sign", "}"):
        if token != ("sign", ","):
            operator, text = rest.pop(0), rest.pop(0)
            assert (token[0], operator[0], text[0]) == ("name", "sign", "string"), (token, operator, text)
            found.append((token[1], operator[1], text[1][1:-1]))
    return found


def read(expression):
    asked, rest = Asked(), tokens(expression)
    while rest:
        kind, text = rest.pop(0)
        if kind != "name" or text in KEYWORDS:
            continue
        following = rest[0] if rest else ("", "")
        if text in GROUPING:
            asked.grouping |= labels_in(rest)
        elif text in FUNCTIONS and (following == ("sign", "(") or following[1] in GROUPING):
            continue
        else:
            asked.metrics.append((text, matchers_in(rest) if following == ("sign", "{") else []))
    return asked
