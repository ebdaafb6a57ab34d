"""Class orders of the three models and of the patient-level diagnoses (paper, Table 2).

The order is part of the contract: column ``i`` of every probability array is class ``i`` here.
"""

from __future__ import annotations

from typing import Final

MODEL_1: Final = ("LEUKEMIA", "NO_LEUKEMIA")
MODEL_2: Final = ("ACUTE", "CHRONIC", "NO_LEUKEMIA", "REACTIVE")
MODEL_3: Final = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")

DIAGNOSES_3: Final = ("ACUTE", "CHRONIC", "NO_LEUKEMIA")
DIAGNOSES_5: Final = MODEL_3

#: Subtypes between which each branch votes, in class order.
SUBTYPES: Final[dict[str, tuple[str, str]]] = {"ACUTE": ("ALL", "AML"), "CHRONIC": ("CLL", "CML")}

#: The 3-class diagnosis that follows from a 5-class one.
COLLAPSE_5_TO_3: Final[dict[str, str]] = {
    "ALL": "ACUTE",
    "AML": "ACUTE",
    "CLL": "CHRONIC",
    "CML": "CHRONIC",
    "NO_LEUKEMIA": "NO_LEUKEMIA",
}

#: Where weights can be plugged in. ``single_model`` is the comparator of Fig. 7: 3 or 5 classes.
SLOT_CLASSES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "model_1": (MODEL_1,),
    "model_2": (MODEL_2,),
    "model_3": (MODEL_3,),
    "single_model": (DIAGNOSES_3, DIAGNOSES_5),
}
