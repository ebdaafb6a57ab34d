"""Printed metrics as exact intervals, and their exact values for a signature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, NamedTuple

from leukoweb.statistics.results import StatisticsError

Rounding = Literal["half-up", "half-even", "truncate", "any"]
HarmonicOrMean = Literal["mean", "harmonic"]
Undefined = Literal["exclude", "zero", "one"]
PER_CLASS = ("ppv", "npv", "sensitivity", "specificity", "f1")
WHOLE = ("accuracy", "kappa")
AVERAGES = ("macro", "weighted")


class Signature(NamedTuple):
    """Correctly classified patients and false positives of each class, in class order."""

    correct: tuple[int, ...]
    false_positives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conventions:
    """How the printed numbers were made.

    Attributes
    ----------
    rounding
        ``half-up`` (0.125 -> 0.13), ``half-even``, ``truncate``, or ``any``: whatever any of the three gives.
    macro_f1
        ``mean`` of the class F1s, or ``harmonic`` mean of macro PPV and macro sensitivity.
    undefined
        What a class without any prediction adds to macro and weighted averages: it is ``exclude``d, counts
        ``zero`` or ``one``. An average of nothing, and an undefined value of a single class, fit no printed
        number.
    """

    rounding: Rounding = "half-up"
    macro_f1: HarmonicOrMean = "mean"
    undefined: Undefined = "exclude"


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed value. ``of`` is a class index for a metric of one class, else -1; ``average`` is empty
    then.
    """

    metric: str  # ppv, ..., accuracy, kappa
    average: str
    of: int
    value: Fraction
    step: Fraction
    percent: bool
    text: str

    def show(self, value: Fraction) -> str:
        """``value`` in the style of this printed number."""
        scale = 100 if self.percent else 1
        places = len(str(int(scale * self.step and 1 / (scale * self.step)))) - 1 if scale * self.step < 1 else 0
        return f"{float(value * scale):.{places}f}" + ("%" if self.percent else "")

    def limits(self, rounding: Rounding) -> tuple[Fraction, Fraction]:
        """Closed interval that surely holds every number printed like this; sharper than it only at the
        ends.
        """
        low = self.value if rounding == "truncate" else self.value - self.step / 2
        if self.value <= 0 and rounding in ("truncate", "any"):  # -0.129 is cut to -0.12, and -0.009 to 0
            low = self.value - self.step
        high = self.value + (self.step if rounding in ("truncate", "any") else self.step / 2)
        return low, high


def parse_printed(metric: str, value: str | float, classes: Sequence[str], decimals: int | None) -> Printed:
    """A printed value from text (which keeps its decimals) or from a number with ``decimals``.

    A text with "%", or greater than 1 without a decimal point below it, is a percentage. Errors:
    StatisticsError.
    """
    average, of, name = _which(metric, classes)
    text = str(value).strip().replace("\N{MINUS SIGN}", "-")
    if not isinstance(value, str):
        if decimals is None:
            raise StatisticsError(
                f"{metric} is given as the number {value}: say how many decimals were printed.", field="decimals"
            )
        text = f"{value:.{decimals}f}"
    found = re.fullmatch(r"(-?)(\d*)(?:[.,](\d*))?\s*(%?)", text)
    if not found or not (found[2] or found[3]):
        raise StatisticsError(f"{metric}: {value!r} is not a number.", code="E_NUMBER", field=metric)
    places = len(found[3] or "")
    number = Fraction(int((found[2] or "0") + (found[3] or "")), 10**places) * (-1 if found[1] else 1)
    # Without a % sign only a value above 1 can be meant as a percentage.
    percent = bool(found[4]) or number > 1
    scale = 100 if percent else 1
    if abs(number / scale) > 1:
        raise StatisticsError(f"{metric}: {value} lies beyond 100 %.", code="E_NUMBER", field=metric)
    return Printed(name, average, of, number / scale, Fraction(1, 10**places * scale), percent, text)


def _which(metric: str, classes: Sequence[str]) -> tuple[str, int, str]:
    if metric in WHOLE:
        return "", -1, metric
    of_class, colon, name = metric.rpartition(":")
    if colon and of_class in classes and name in PER_CLASS:
        return "", list(classes).index(of_class), name
    average, underscore, name = metric.partition("_")
    if underscore and average in AVERAGES and name in PER_CLASS:
        return average, -1, name
    known = [*WHOLE, *(f"macro_{name}" for name in PER_CLASS), "weighted_ppv ...", f"{classes[0]}:f1 ..."]
    raise StatisticsError(
        f"There is no metric called {metric!r}.", code="E_METRIC", field=metric, hint=f"Known: {', '.join(known)}."
    )


def rounds_to(value: Fraction, printed: Printed, rounding: Rounding) -> Fraction:
    """``value`` rounded to the step of ``printed``; ``any`` rounds half up."""
    steps = value / printed.step
    if rounding == "truncate":
        return (floor(steps) if steps >= 0 else -floor(-steps)) * printed.step
    if rounding == "half-even":
        return round(steps) * printed.step
    # Half away from zero, as done by hand.
    return (floor(steps + Fraction(1, 2)) if steps >= 0 else -floor(Fraction(1, 2) - steps)) * printed.step


def fits(value: Fraction | None, printed: Printed, rounding: Rounding) -> bool:
    """Whether an exact value is printed like this. An undefined value never is."""
    if value is None:
        return False
    rules: tuple[Rounding, ...] = ("half-up", "half-even", "truncate") if rounding == "any" else (rounding,)
    return any(rounds_to(value, printed, rule) == printed.value for rule in rules)


def class_value(metric: str, size: int, total: int, correct: int, false_positives: int) -> Fraction | None:
    """A metric of one class: ``size`` of ``total`` patients belong to it. None where it is 0 / 0."""
    missed, others = size - correct, total - size
    top, bottom = {
        "sensitivity": (correct, size),
        "specificity": (others - false_positives, others),
        "ppv": (correct, correct + false_positives),
        "npv": (others - false_positives, others - false_positives + missed),
        "f1": (2 * correct, 2 * correct + missed + false_positives),
    }[metric]
    return Fraction(top, bottom) if bottom else None


def metric_value(printed: Printed, sizes: Sequence[int], signature: Signature, rules: Conventions) -> Fraction | None:
    """The exact value of a printed metric for a signature; None where it is undefined."""
    total = sum(sizes)
    if printed.metric == "accuracy":
        return Fraction(sum(signature.correct), total)
    if printed.metric == "kappa":
        predicted = [c + f for c, f in zip(signature.correct, signature.false_positives, strict=True)]
        chance = sum(n * p for n, p in zip(sizes, predicted, strict=True))
        left = total**2 - chance
        return Fraction(total * sum(signature.correct) - chance, left) if left else None
    if printed.of >= 0:
        k = printed.of
        return class_value(printed.metric, sizes[k], total, signature.correct[k], signature.false_positives[k])
    if printed.metric == "f1" and printed.average == "macro" and rules.macro_f1 == "harmonic":
        ppv = _average("ppv", "macro", sizes, signature, rules)
        sensitivity = _average("sensitivity", "macro", sizes, signature, rules)
        if ppv is None or sensitivity is None or not ppv + sensitivity:
            return None
        return 2 * ppv * sensitivity / (ppv + sensitivity)
    return _average(printed.metric, printed.average, sizes, signature, rules)


def _average(
    metric: str, average: str, sizes: Sequence[int], signature: Signature, rules: Conventions
) -> Fraction | None:
    total, top, bottom = sum(sizes), Fraction(0), 0
    for size, correct, wrong in zip(sizes, *signature, strict=True):
        value = class_value(metric, size, total, correct, wrong)
        weight = size if average == "weighted" else 1
        if value is None:
            if rules.undefined == "exclude":
                continue
            value = Fraction(rules.undefined == "one")
        top += weight * value
        bottom += weight
    return top / bottom if bottom else None
