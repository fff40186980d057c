"""The words by which people name a split, anywhere in a file's or a folder's name."""

from __future__ import annotations

import re

_WORDS = {
    "train": "train training trainset trainingset trainval trn",
    "test": "test tests testing testset testingset tst",
    "validation": (
        "validation valid validate validset validationset val valset dev devel eval evaluation"
    ),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words.split()}
_BESIDE = frozenset({"set", "data", "images", "imgs", "split"})
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Other words begin or end with a split's (`latest`, `constrain`, `interval`), so that only these
# are looked for within a word.
_WITHIN = re.compile("^(train|test)|(train|test)(set)?$")
_OTHERS = frozenset(
    {"trains", "trainer", "trained", "trainee", "testify", "testament", "tester", "testimony"}
    | {"latest", "contest", "fastest", "greatest", "largest", "smallest", "newest", "oldest"}
    | {"best", "protest", "attest", "detest", "strain", "constrain", "restrain", "terrain"}
)


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: `MyData-Training_01` to `my`, `data`, `training`."""
    return [word.lower() for word in _WORD.findall(name)]


def split_of(name: str) -> str | None:
    """`train`, `test` or `validation` where words of one of them stand in a name; else None.

    Words of `train` and `validation` together mean both, which is to train on.
    """
    splits = {_SPLIT_OF[word] for word in words_of(name) if word in _SPLIT_OF}
    if splits == {"train", "validation"}:
        return "train"
    return splits.pop() if len(splits) == 1 else None


def is_split_word(name: str) -> bool:
    """Whether a name says a split and nothing else: `Test_set` does, `train station` does not."""
    words = words_of(name)
    return split_of(name) is not None and all(w in _SPLIT_OF or w in _BESIDE for w in words)


def before_split(name: str) -> str:
    """The words in front of a split's word, without numbers: `cifar10` of `cifar10-test-3`."""
    for match in _WORD.finditer(name):
        if match[0].lower() in _SPLIT_OF:
            front = re.split("[^A-Za-z0-9]+", name[: match.start()])
            return " ".join(part for part in front if part and not part.isdigit())
    return ""


def hides_split(name: str) -> bool:
    """Whether a split's word is written together with others, so that it can't be trusted."""
    found = (word for word in words_of(name) if word not in _SPLIT_OF and word not in _OTHERS)
    return any(_WITHIN.search(word) for word in found)
