"""The arithmetic of the gate: pure functions on numbers and arrays, deterministic, without files or models.

    groups.py   which samples hang together, and the seeded draws over such groups
    means.py    a mean: standard error, interval, sign-flip test
    pairs.py    right or wrong: McNemar's test, Tango's interval, above chance
    corpus.py   BLEU and its kind: randomisation test, bootstrap
    family.py   many comparisons of one run: Bonferroni as they come, Holm once all are known
    power.py    the smallest drop that so many samples could have shown

Every test is one-sided and asks whether a *positive* difference is more than chance; a caller who asks the other way
round negates the difference. Sizes: n samples, g groups of samples, k statistics a sample.
"""

from harness.statistics.corpus import PairedCorpus, corpus_stderr
from harness.statistics.family import adjusted, step_down
from harness.statistics.groups import Floats, Ints, group_codes, value_of
from harness.statistics.means import mean_bounds, mean_stderr, sign_flip_p
from harness.statistics.pairs import above_chance_p, mcnemar_p, tango_bounds
from harness.statistics.power import detectable_difference, detectable_pairs

__all__ = [
    "Floats",
    "Ints",
    "PairedCorpus",
    "above_chance_p",
    "adjusted",
    "corpus_stderr",
    "detectable_difference",
    "detectable_pairs",
    "group_codes",
    "mcnemar_p",
    "mean_bounds",
    "mean_stderr",
    "sign_flip_p",
    "step_down",
    "tango_bounds",
    "value_of",
]
