"""The method's words, explained for a reader who meets them for the first time."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("ticket", "A mask and rewind weights: a small network, not yet trained, that a user trains."),
    (
        "sparsity",
        "The share of the prunable weights (the convolutions', or what prune.layers says) that a "
        "mask removes. At 79 % one weight in five is left.",
    ),
    ("dense", "The network with all its weights: what a ticket is measured against."),
    (
        "vanilla",
        "The lottery-ticket search as first published: the same rounds on all the training data, "
        "no early stop. The cost that savings are measured against.",
    ),
    (
        "random subset",
        "The control: the same set sizes and steps as PrAC, the samples drawn at random.",
    ),
    (
        "round",
        "Train under the current mask on the current set, score, prune a share of the weights "
        "that are left, rewind.",
    ),
    (
        "rewind weights",
        "The weights of an early epoch of the first round, from which every round starts again.",
    ),
    (
        "event",
        "One presentation of one training sample in one epoch: was the prediction right, and how "
        "wrong was it.",
    ),
    (
        "forgetting event",
        "Right at one presentation, wrong at the next presentation of the same sample.",
    ),
    (
        "never learned",
        "Never right at any presentation so far; counts as harder than any number of forgets.",
    ),
    (
        "CET",
        "Critical examples for training: samples of the current set that were forgotten more often "
        "than the threshold, or never learned.",
    ),
    (
        "CEP",
        "Critical examples for pruning: training samples on which the dense and the pruned model "
        "predict different classes.",
    ),
    ("overlap", "Samples that are in both CET and CEP."),
    (
        "PrAC set",
        "CET and CEP together: what the next round trains on, with easy samples where there are "
        "any.",
    ),
    (
        "easy samples",
        "A share of the samples outside the PrAC set that a round trains on all the same, where "
        "select.easy asks for it.",
    ),
    ("tentative mask", "The mask that pruning would give if the round ended after this epoch."),
    (
        "early-bird stop",
        "A round ends when its tentative mask hardly changes any more: several distances in a row "
        "below the tolerance.",
    ),
    (
        "threshold, E_F",
        "How many forgetting events a sample may have before it counts as critical for training.",
    ),
    (
        "judged",
        "The ticket was trained alone, from the rewind weights, on all the training data, and then "
        "tested. This costs no search steps and is reported apart. Where weights go on from round "
        "to round it may be tested as found: as its own round left it, whose steps are then among "
        "those to find it.",
    ),
    (
        "seed",
        "What decides the order of the samples and their augmentation in a training. Tickets are "
        "judged with the same seeds, so that two of them are compared in pairs.",
    ),
    (
        "± after a mean",
        "The standard deviation of the seeds' accuracies (of a sample: divided by one less than "
        "their number). After a difference: the standard error of the mean difference. The seeds "
        "are those of judging: the search that made the tickets was run once.",
    ),
    (
        "steps to find",
        "SGD steps of all rounds before this one, or of the trainings that made its mask: what the "
        "search paid for the ticket.",
    ),
    ("point", "One percentage point of accuracy: 91.2 % is 0.4 points below 91.6 %."),
)
"""(word, meaning), in the order in which a newcomer needs them."""

MATCHES = (
    "matches",
    "A ticket whose mean accuracy over three seeds or more is above vanilla's at the same sparsity "
    "or at most one standard deviation of vanilla's below it. Both are tickets of one search: the "
    "seeds train them anew and don't search anew.",
)
"""For reports that may use the word."""
