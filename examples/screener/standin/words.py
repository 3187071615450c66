"""Key words of texts, and how many of them two texts share."""

import re
from collections import Counter

COMMON_WORDS = frozenset(
    """
    a about after all also am an and any are as at be been before being both but by can could did do
    does each etc for from had has have he her his how i if in including into is it its like may more
    most must my no not of on one or other our out over own per plus she should so some such than that
    the their them then there these they this those through to too under up us use used using via was we
    well were what when where which while who will with within without would you your
    ability able across candidate candidates company day days deep degree demonstrated experience
    experienced expertise familiar familiarity good great help hands job joining knowledge least looking
    month months new nice person practical proficiency proficient proven required requirement
    requirements responsibilities role senior skill skills solid strong team teams understanding work
    worked working year years
    """.split()
)
_STEM_LENGTH = 6


def key_words(text: str) -> list[str]:
    """Return the words that carry meaning, in order, in lower case."""
    words = re.findall(r"[^\W\d_][\w+#]*(?:\.[a-z]+)?", text.lower())
    return [word for word in words if word not in COMMON_WORDS and len(word) > 1]


def stem(word: str) -> str:
    """Return the beginning of a word, so that "developer" meets "development"."""
    return word[:_STEM_LENGTH].rstrip("s")


def coverage(wanted: str, text: str) -> float:
    """Return the share of one text's vocabulary that another covers, 0 to 1; repeated words count fully."""
    asked = {stem(word) for word in key_words(wanted)}
    if not asked:
        return 0.0
    found = Counter(map(stem, key_words(text)))
    return sum((0.0, 0.75, 1.0)[min(found[each], 2)] for each in asked) / len(asked)


def most_frequent(text: str) -> list[str]:
    """Return the key words of a text, most frequent first, one for each stem."""
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for word in key_words(text):
        counts[stem(word)] += 1
        shown.setdefault(stem(word), word)
    return [shown[each] for each, _ in counts.most_common()]
