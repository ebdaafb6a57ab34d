"""The designer's form: every item of the protocol document as a field, and back.

The form converts and nothing else; what is wrong with the values is said by `reader_study.protocol`, so that form,
file and API refuse the same things with the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from django import forms

from cases.models import Cohort
from inference.models import PipelineVersion
from leukoweb.core.models import Role, User
from reader_study.protocol import ARMS, CLASS_MAPS, COMPARISONS, METRICS, SCHEMA_ID

Value = Callable[[str], Any]


def whole(text: str) -> Any:
    """The number, nothing for an empty field, or the text itself for the schema to refuse."""
    text = text.strip()
    try:
        return int(text) if text else None
    except ValueError:
        return text


def real(text: str) -> Any:
    text = text.strip().replace(",", ".")
    try:
        return float(text) if text else None
    except ValueError:
        return text


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def all_or_lines(text: str) -> str | list[str]:
    found = lines(text)
    return "all" if not found or [word.lower() for word in found] == ["all"] else found


def pairs(text: str) -> dict[str, str]:
    split = (line.partition(":") for line in lines(text))
    return {left.strip(): right.strip() for left, _, right in split}


def numbers(text: str) -> list[Any]:
    return [whole(part) for part in text.replace(";", ",").split(",") if part.strip()]


def pipeline(text: str) -> dict[str, str] | None:
    name, _, version = text.partition("\t")
    return {"name": name, "version": version} if text else None


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(str(item) for item in value)
    if isinstance(value, dict):
        return "\n".join(f"{key}: {item}" for key, item in value.items())
    return "" if value is None else str(value)


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows})


def _number(**attrs: Any) -> forms.NumberInput:
    return forms.NumberInput(attrs={"inputmode": "decimal", "step": "any", **attrs})


def _choices(values: Mapping[str, str]) -> forms.Select:
    return forms.Select(choices=list(values.items()))


@dataclass(frozen=True)
class Item:
    """One field: where it lives in the document, what it is called, how it is shown and read."""

    path: str
    label: str
    widget: forms.Widget
    read: Value = str
    help: str = ""


TICK = forms.CheckboxInput()
SECTIONS: tuple[tuple[str, str, tuple[Item, ...]], ...] = (
    ("question", "Question", (
        Item("title", "Title", forms.TextInput()),
        Item("question", "What the study asks", _area(3)),
    )),
    ("classes", "Classes", (
        Item("classes.map", "Scheme", _choices({
            "five": "Five classes: ALL, AML, CLL, CML, NO_LEUKEMIA",
            "three": "Three classes: ACUTE, CHRONIC, NO_LEUKEMIA",
            "two": "Two classes: LEUKEMIA, NO_LEUKEMIA", "custom": "Own classes"})),
        Item("classes.names", "Classes, one a line", _area(3), lines,
             "Only for own classes; in the order of keys and tables. Capitals, digits and underscores."),
        Item("classes.reference_map", "Reference diagnosis: own class", _area(3), pairs,
             "Only for own classes: one line for each of ALL, AML, CLL, CML, NO_LEUKEMIA, such as AML: ACUTE."),
    )),
    ("cases", "Patients and fields", (
        Item("cases.cohort", "Cohort", forms.Select()),
        Item("cases.patients", "Patients", _area(3), all_or_lines, "The word all, or one code a line."),
        Item("cases.training", "Training cases", _area(2), lines,
             "One code a line. Read before the real ones, never analysed."),
        Item("images_per_case.rule", "Fields of each patient", _choices({
            "all": "All of them", "fixed": "A fixed number, drawn at random"})),
        Item("images_per_case.k", "Fixed number", _number(min=1), whole, "The same for everybody hides the number."),
        Item("images_per_case.seed", "Seed of the draw", _number(min=0), whole),
    )),
    ("readers", "Readers", ()),
    ("sessions", "Sessions", (
        Item("primary_session", "Session of the main analysis", _number(min=1), whole,
             "Of a reader who sees the AI in it: the first blinded one."),
        Item("washout_days", "Washout in days", _number(min=0, list="washout-presets"), whole,
             "Between two sessions of a reader, for each patient. Common: 14, 28, 42."),
        Item("order_seed", "Seed of the orders", _number(min=0), whole,
             "Every session gets an order of its own from it."),
        Item("closes_on", "Last day of reading", forms.DateInput(attrs={"type": "date"}), str, "Empty: no last day."),
    )),
    ("answers", "Answers and viewer", (
        Item("answers.confidence", "Ask for a confidence from 1 to 5", TICK),
        Item("answers.cannot_decide", "Allow “cannot decide” with a reason", TICK),
        Item("answers.reasons", "Reasons to choose from, one a line", _area(4), lines),
        Item("answers.key_images", "Let readers mark key fields", TICK),
        Item("answers.comment", "Let readers write a comment", TICK),
        Item("require_all_viewed", "Every field has to be looked at before the seal", TICK),
        Item("navigation", "Going back", _choices({
            "free": "Free until the session is sealed", "forward_only": "Forward only"})),
        Item("viewer.zoom", "Zoom between fields", _choices({"kept": "Kept", "reset": "Reset"})),
        Item("viewer.brightness_contrast", "Allow brightness and contrast (recorded with the answer)", TICK),
        Item("idle_minutes", "Lock the desk after minutes in which nothing is touched", _number(min=1), whole),
    )),
    ("ai", "AI", (
        Item("ai.primary", "Primary pipeline", forms.Select(), pipeline),
        Item("ai.comparators", "Comparators", forms.CheckboxSelectMultiple()),
    )),
    ("endpoints", "Endpoints and analysis", (
        Item("non_inferiority_margin", "Non-inferiority margin", _number(min=0, max=1), real,
             "Of the primary endpoint, in units of its metric, such as 0.1. Empty: no such claim. It cannot move once "
             "reading begins."),
        Item("analysis.level", "Confidence level", _number(min=0.5, max=0.999), real),
        Item("analysis.resamples", "Bootstrap resamples", _number(min=100), whole),
        Item("analysis.seed", "Seed of the bootstrap", _number(min=0), whole),
        Item("analysis.missing", "“Cannot decide” counts as", _choices({
            "exclude": "missing (left out)", "wrong": "a wrong answer"})),
    )),
    ("planning", "Sample size", (
        Item("planning.sensitivity", "Expected sensitivity", _number(min=0, max=1), real),
        Item("planning.specificity", "Expected specificity", _number(min=0, max=1), real),
        Item("planning.kappa", "Expected kappa between readers", _number(min=-1, max=1), real),
        Item("planning.expected_per_class", "Expected patients of each class", forms.TextInput(), numbers,
             "In the order of the classes, with commas; empty: equal numbers."),
        Item("planning.seconds_per_image", "Seconds a field", _number(min=0), real),
        Item("planning.seconds_per_case", "Seconds a patient besides", _number(min=0), real),
        Item("planning.justification", "Why this number of patients", _area(3)),
    )),
    ("texts", "Texts for readers", (
        Item("consent", "Consent", _area(5), str, "Agreed to before the first case."),
        Item("instructions", "Instructions", _area(6)),
    )),
)  # fmt: skip
ITEMS = {item.path: item for _, _, items in SECTIONS for item in items}

METRIC_WORDS = {
    "accuracy": "Accuracy", "macro_f1": "Macro F1", "macro_sensitivity": "Macro sensitivity",
    "macro_specificity": "Macro specificity", "macro_ppv": "Macro PPV",
    "inter_observer_kappa": "Kappa between readers", "intra_observer_kappa": "Kappa within a reader",
    "ai_reader_kappa": "Kappa of AI and readers",
}  # fmt: skip
COMPARISON_WORDS = {
    "none": "Estimate alone", "ai_vs_reader_mean": "AI against the mean reader",
    "ai_vs_each_reader": "AI against each reader",
    "ai_vs_comparators": "AI against comparators", "with_vs_without_ai": "Readers with against without AI",
}  # fmt: skip
ARM_WORDS = {"blinded": "blinded", "ai_assisted": "with AI"}


def session_words(sessions: list[str]) -> str:
    return ", then ".join(ARM_WORDS.get(arm, arm) for arm in sessions) or "none"


def _session_choices() -> list[tuple[str, str]]:
    """One to three sessions in every mixture of arms, the plain ones first."""
    plans = [arms for n in (1, 2, 3) for arms in product(ARMS, repeat=n)]
    plans.sort(key=lambda arms: ("ai_assisted" in arms, len(arms)))
    return [(",".join(arms), f"{len(arms)}: {session_words(list(arms))}") for arms in plans]


class ReaderForm(forms.Form):
    label = forms.CharField(required=False, max_length=40)
    username = forms.ChoiceField(required=False)
    years = forms.CharField(required=False, widget=_number(min=0))
    specialty = forms.CharField(required=False)
    training = forms.CharField(required=False)
    sessions = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, people: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = (self.initial or {}).get("sessions", "")
        sessions = _session_choices()
        if current and current not in dict(sessions):
            sessions.append((current, session_words(current.split(","))))
        name = (self.initial or {}).get("username", "")
        known = people if not name or name in dict(people) else [*people, (name, f"{name} (not an active pathologist)")]
        self.fields["username"].choices = [("", "Nobody here (read elsewhere)"), *known]  # type: ignore[attr-defined]
        self.fields["sessions"].choices = sessions  # type: ignore[attr-defined]


class EndpointForm(forms.Form):
    metric = forms.ChoiceField(
        required=False, choices=[("", "none"), *((name, METRIC_WORDS[name]) for name in METRICS)]
    )
    role = forms.ChoiceField(required=False, choices=[("primary", "Primary"), ("secondary", "Secondary")])
    comparison = forms.ChoiceField(required=False, choices=[(name, COMPARISON_WORDS[name]) for name in COMPARISONS])


SPARE_READERS, SPARE_ENDPOINTS, MAX_ROWS = 2, 1, 60


class Designer:
    """The whole form: plain fields, and two tables of rows. Bound to a POST, or filled from a document."""

    def __init__(self, document: Mapping[str, Any], data: Any = None) -> None:
        self.data = data
        self.people = [
            (user.username, f"{user} ({user.username})")
            for user in User.objects.filter(role=Role.PATHOLOGIST, is_active=True).order_by("username")
        ]
        self.form = _plain_form(document, data)
        self.readers = self._rows("readers", document["readers"], SPARE_READERS, self._reader)
        self.endpoints = self._rows("endpoints", document["endpoints"], SPARE_ENDPOINTS, self._endpoint)

    @property
    def sections(self) -> list[tuple[str, str, list[Any]]]:
        return [(key, title, [self.form[item.path] for item in items]) for key, title, items in SECTIONS]

    def document(self) -> dict[str, Any]:
        """What the POST says, still unchecked."""
        found: dict[str, Any] = {"schema": SCHEMA_ID}
        for path, item in ITEMS.items():
            _put(found, path, self._read(item))
        if fixed := CLASS_MAPS.get(found["classes"]["map"]):
            found["classes"] |= {"names": list(fixed), "reference_map": {}}
        if found["images_per_case"]["rule"] == "all":
            found["images_per_case"]["k"] = None
        found["readers"] = [row for form in self.readers if (row := _reader_row(form.data, form.prefix))]
        found["endpoints"] = [row for form in self.endpoints if (row := _endpoint_row(form.data, form.prefix))]
        used = {arm for reader in found["readers"] for arm in reader["sessions"]}
        found["arms"] = [arm for arm in ARMS if arm in used] or ["blinded"]
        return found

    def _read(self, item: Item) -> Any:
        if item.widget is TICK:
            return item.path in self.data
        if isinstance(item.widget, forms.CheckboxSelectMultiple):
            return [pipeline(text) for text in self.data.getlist(item.path)]
        value = item.read(self.data.get(item.path, "").replace("\r\n", "\n"))
        return value or None if item.path == "closes_on" else value

    def _rows(self, prefix: str, rows: list[Any], spare: int, make: Callable[..., forms.Form]) -> list[forms.Form]:
        count = len(rows) + spare
        if self.data is not None:
            count = 0
            while count < MAX_ROWS and any(key.startswith(f"{prefix}-{count}-") for key in self.data):
                count += 1
        return [make(f"{prefix}-{i}", rows[i] if i < len(rows) else {}) for i in range(count)]

    def _reader(self, prefix: str, row: dict[str, Any]) -> forms.Form:
        initial = row | {"sessions": ",".join(row["sessions"])} if row else {}
        return ReaderForm(self.data, prefix=prefix, initial=initial, people=self.people)

    def _endpoint(self, prefix: str, row: dict[str, Any]) -> forms.Form:
        return EndpointForm(self.data, prefix=prefix, initial=row or {"role": "secondary"})


def _plain_form(document: Mapping[str, Any], data: Any) -> forms.Form:
    form = forms.Form(data)
    for path, item in ITEMS.items():
        value: Any = document
        for key in path.split("."):
            value = value[key]
        kind: type[forms.Field] = forms.BooleanField if item.widget is TICK else forms.CharField
        form.fields[path] = kind(
            label=item.label, widget=item.widget, required=False, help_text=item.help, initial=_initial(path, value)
        )
    cohorts = Cohort.objects.order_by("name").values_list("name", "purpose")
    form.fields["cases.cohort"].widget.choices = [("", "Choose"), *((n, f"{n} ({p})") for n, p in cohorts)]  # type: ignore[attr-defined]
    pipelines = [(f"{p.name}\t{p.version}", str(p)) for p in PipelineVersion.objects.order_by("-is_active", "-id")]
    form.fields["ai.primary"].widget.choices = [("", "None"), *pipelines]  # type: ignore[attr-defined]
    form.fields["ai.comparators"].widget.choices = pipelines  # type: ignore[attr-defined]
    return form


def _initial(path: str, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if path == "ai.primary":
        return f"{value['name']}\t{value['version']}" if value else ""
    if path == "ai.comparators":
        return [f"{entry['name']}\t{entry['version']}" for entry in value]
    return ", ".join(map(str, value)) if path == "planning.expected_per_class" else _text(value)


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *sections, last = path.split(".")
    for key in sections:
        document = document.setdefault(key, {})
    document[last] = value


def _reader_row(data: Any, prefix: str | None) -> dict[str, Any] | None:
    """A row in which neither a label nor a user is given is an empty one."""
    value = {key: data.get(f"{prefix}-{key}", "").strip() for key in ReaderForm.base_fields}
    if not (value["label"] or value["username"]):
        return None
    sessions = [arm for arm in value["sessions"].split(",") if arm]
    return value | {"years": whole(value["years"]), "sessions": sessions}


def _endpoint_row(data: Any, prefix: str | None) -> dict[str, Any] | None:
    value = {key: data.get(f"{prefix}-{key}", "") for key in EndpointForm.base_fields}
    return value if value["metric"] else None


def anchor(path: str) -> str:
    """The id of the field that a problem at ``path`` is about."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in ITEMS:
            return f"id_{'.'.join(parts[:n])}"
    if parts[0] in ("readers", "endpoints") and len(parts) > 1 and parts[1].isdigit():
        key = parts[2] if len(parts) > 2 else ("label" if parts[0] == "readers" else "metric")
        return f"id_{parts[0]}-{int(parts[1]) - 1}-{key}"
    known = {"": "question", "arms": "readers", "schema": "question", "images_per_case": "cases"}
    return f"section-{known.get(parts[0], parts[0])}"
