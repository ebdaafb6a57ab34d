"""Class orders of the three models and of the patient-level diagnoses (paper, Table 2).

The order is part of the contract: column ``i`` of every probability array is class ``i`` here.
"""

from __future__ import annotations

from typing import Final

from cases.taxonomy import FIVE_CLASSES, FIVE_TO_THREE, FOUR_CLASSES, THREE_CLASSES, TWO_CLASSES

MODEL_1: Final = TWO_CLASSES
MODEL_2: Final = FOUR_CLASSES
MODEL_3: Final = FIVE_CLASSES

DIAGNOSES_3: Final = THREE_CLASSES
DIAGNOSES_5: Final = FIVE_CLASSES

#: The 3-class diagnosis that follows from a 5-class one.
COLLAPSE_5_TO_3: Final = FIVE_TO_THREE

#: Subtypes between which each branch votes, in class order.
SUBTYPES: Final[dict[str, tuple[str, ...]]] = {
    branch: tuple(subtype for subtype in FIVE_CLASSES if FIVE_TO_THREE[subtype] == branch)
    for branch in ("ACUTE", "CHRONIC")
}

#: Where weights can be plugged in. ``single_model`` is the comparator of Fig. 7: 3 or 5 classes.
SLOT_CLASSES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "model_1": (MODEL_1,),
    "model_2": (MODEL_2,),
    "model_3": (MODEL_3,),
    "single_model": (DIAGNOSES_3, DIAGNOSES_5),
}
