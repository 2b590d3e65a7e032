"""New names of the definitions in an old version of the source.

Two versions of the source are compared. Definitions with the same name are the same,
unless their text is quite different. The others are paired by the most similar text,
after known new names have been replaced. Names inside follow from that: if two versions
of a function differ only in one name, that name has changed.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import PurePosixPath

import anchors
from anchors import Definition

__all__ = ["Renames", "most_alike", "renamed"]

LEAST_ALIKE = 0.5  # of two functions with different names
LEAST_ALIKE_NAMESAKES = 0.25
CLEARLY = 0.05  # the best must be better than the second by that much


class Renames:
    """The new names of definitions and identifiers.

    Attributes:
        pairs: what each definition is today, as far as that is known.
        names: identifiers that are gone everywhere, and what stands in their place.
        gone: all identifiers that are nowhere any more.
    """

    def __init__(self, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Compare the source of then with that of today."""
        self.old, self.new = old, new
        self.pairs: dict[Definition, Definition] = {}
        self.names: dict[str, str] = {}
        olds, news = _all_definitions(old), _all_definitions(new)
        self._left = {word for each in news for word in (*_words(each), each.name)}
        words = {word for each in olds for word in _words(each)}
        self.gone = {word for word in words if word.isidentifier()} - self._left
        by_name = defaultdict(list)
        for each in news:
            by_name[each.kind, each.name].append(each)
        candidates = [(a, b) for a in olds for b in by_name[a.kind, a.name]]
        self._pair(candidates, LEAST_ALIKE_NAMESAKES)
        self._learn_names()
        taken = set(self.pairs.values())
        candidates = [
            (a, b)
            for a in olds
            for b in news
            if a not in self.pairs and b not in taken and a.kind == b.kind
        ]
        self._pair(candidates, LEAST_ALIKE)
        self._learn_names()

    def _pair(
        self, candidates: Sequence[tuple[Definition, Definition]], least: float
    ) -> None:
        """Pair what is most alike first."""
        scores: dict[Definition, list[tuple[float, Definition]]] = defaultdict(list)
        for a, b in candidates:
            alike = _alike(renamed(_words(a), self.names), _words(b), least)
            if alike >= least:
                same_file = PurePosixPath(a.file).name == PurePosixPath(b.file).name
                bonus = 0.3 * _alike_names(a.name, b.name) + 0.2 * same_file
                scores[a].append((alike + bonus, b))
        taken = set(self.pairs.values())
        order = sorted(scores, key=lambda a: max(score for score, _ in scores[a]))
        for a in reversed(order):
            free = sorted(
                (pair for pair in scores[a] if pair[1] not in taken),
                key=lambda pair: pair[0],
            )
            if free and (len(free) == 1 or free[-1][0] - free[-2][0] >= CLEARLY):
                self.pairs[a] = free[-1][1]
                taken.add(free[-1][1])

    def _learn_names(self) -> None:
        """Find out which identifiers are gone, and what took their place."""
        votes: dict[str, Counter[str]] = defaultdict(Counter)
        for a, b in self.pairs.items():
            for before, after in _substitutions(_words(a), _words(b)):
                votes[before][after] += 1
        for before, counts in votes.items():
            (after, most), *_ = counts.most_common(1)
            if before not in self._left and 2 * most > counts.total():
                self.names[before] = after
        for name in {a.name for a in self.pairs} - self._left:
            afters = self.named_today(name)
            self.names.pop(name, None)
            if len(afters) == 1 and "." not in name:
                self.names[name] = afters.pop()

    def named_today(self, name: str, file: str = "") -> set[str]:
        """Return what those of that name, and in that file, are called today."""
        return {
            b.name
            for a, b in self.pairs.items()
            if a.name == name and file in ("", a.file)
        }

    def names_in(self, old: Definition, new: Definition) -> dict[str, str]:
        """Return the renames of identifiers in one definition."""
        left = set(_words(new))
        votes: dict[str, set[str]] = defaultdict(set)
        olds = renamed(_words(old), self.names)
        for before, after in _substitutions(olds, _words(new)):
            votes[before].add(after)
        own = {
            before: afters.pop()
            for before, afters in votes.items()
            if len(afters) == 1 and before not in left
        }
        return self.names | own

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """The file of today that most of a file's definitions are in."""
        votes: dict[str, Counter[str]] = defaultdict(Counter)
        for a, b in self.pairs.items():
            votes[a.file][b.file] += 1
        return {file: counts.most_common(1)[0][0] for file, counts in votes.items()}


def _all_definitions(sources: Mapping[str, str]) -> list[Definition]:
    return [
        each
        for file, text in sources.items()
        for each in anchors.definitions(file, text)
        if each.kind != "file"
    ]


def _words(definition: Definition) -> list[str]:
    return anchors.words([*definition.head, *definition.body])


def renamed(texts: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Return words with other names."""
    return [names.get(text, text) for text in texts]


def _alike(a: Sequence[str], b: Sequence[str], least: float) -> float:
    """Return how much two texts have in common, 0 to 1; 0 if less than *least*."""
    if a == b:
        return 1.0
    common = (Counter(a) & Counter(b)).total()
    if 2 * common < least * (len(a) + len(b)):
        return 0.0
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def _alike_names(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def _substitutions(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield names that stand in the place of others, also as strings."""
    if a == b:
        return
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "replace" and a1 - a0 == b1 - b0:
            for before, after in zip(a[a0:a1], b[b0:b1], strict=True):
                if _is_name(before) and _is_name(after):
                    yield before, after


def _is_name(text: str) -> bool:
    return text.strip("\"'").isidentifier()


def most_alike(old: Definition, found: Sequence[Definition]) -> list[Definition]:
    """Return the one that is most like *old*, if it is so clearly."""
    scores = [(_alike(_words(old), _words(each), LEAST_ALIKE), each) for each in found]
    scores.sort(key=lambda pair: pair[0])
    least = scores[-2][0] + CLEARLY if len(scores) > 1 else LEAST_ALIKE
    return [scores[-1][1]] if scores and scores[-1][0] >= least else []
