"""The DICOM SR document: read again by pydicom, checked by our own reading of PS3.3, and the check itself checked."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from inference.interop.dicom import DCM, SCHEME, document, sr_bytes
from inference.interop.dicom_check import MODULES, problems
from inference.interop.facts import CODES_OID, CONCEPTS, NOTICE, ResultFacts
from tests.inference.interop.facts import awkward, facts, undecided

pydicom = pytest.importorskip("pydicom", reason="the extra [interop] is not installed")

ALL = pytest.mark.parametrize("given", [facts(), undecided(), awkward()], ids=["decided", "undecided", "awkward"])


def read(given: ResultFacts) -> Any:
    return pydicom.dcmread(io.BytesIO(sr_bytes(given)))


def items(node: Any, meaning: str) -> list[Any]:
    """Content items with this concept name, anywhere below."""
    found = []
    for item in node.get("ContentSequence", ()):
        found += [item] if item.ConceptNameCodeSequence[0].CodeMeaning == meaning else []
        found += items(item, meaning)
    return found


@ALL
def test_a_file_that_pydicom_reads_again_and_nothing_is_wrong_with(given: ResultFacts) -> None:
    data = sr_bytes(given)
    assert data[128:132] == b"DICM"
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert problems(dataset) == []
    assert dataset.SOPClassUID.name == "Comprehensive SR Storage"
    assert (dataset.CompletionFlag, dataset.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert [item.TextValue for item in items(dataset, CONCEPTS["NOTICE"])] == list(given.notices)
    assert dataset.ContentSequence[-1].TextValue == given.conclusion


def test_it_holds_the_result_the_counts_and_the_hashes() -> None:
    dataset = read(facts())
    (answer,) = items(dataset, CONCEPTS["DIAGNOSIS_3"])
    assert (answer.ConceptCodeSequence[0].CodeValue, answer.ConceptCodeSequence[0].CodeMeaning) == (
        "ACUTE", "Acute leukemia",
    )  # fmt: skip
    models = items(dataset, CONCEPTS["MODEL"])
    assert [items(m, CONCEPTS["SHA256"])[0].TextValue for m in models] == ["1" * 64, "2" * 64, "3" * 64]
    (labels,) = items(models[1], CONCEPTS["LABELS"])
    counted = {i.ConceptNameCodeSequence[0].CodeValue: int(i.MeasuredValueSequence[0].NumericValue)
               for i in labels.ContentSequence}  # fmt: skip
    assert counted == {"ACUTE": 3, "CHRONIC": 0, "NO_LEUKEMIA": 1, "REACTIVE": 1}
    assert items(models[2], CONCEPTS["REMARK"])[0].TextValue == CONCEPTS["NOT_RUN"]
    (pipeline,) = items(dataset, CONCEPTS["PIPELINE"])
    assert items(pipeline, CONCEPTS["RULES_SHA256"])[0].TextValue == "c" * 64
    assert items(pipeline, "Algorithm Version")[0].TextValue == "2"


def test_no_decision_is_an_answer_of_its_own() -> None:
    dataset = read(undecided())
    (answer,) = items(dataset, CONCEPTS["DIAGNOSIS"])
    assert answer.ConceptCodeSequence[0].CodeValue == "NO_DECISION"
    assert items(dataset, CONCEPTS["REASON"])[0].TextValue == "The slide has no images."


def test_of_the_patient_only_the_code() -> None:
    dataset = read(facts())
    assert dataset.PatientID == "P-7"
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName", "AccessionNumber"):
        assert not dataset[keyword].value
    assert dataset.PatientIdentityRemoved == "YES"
    assert NOTICE in dataset.ContentSequence[-1].TextValue


def test_the_standard_codes_mean_what_the_dictionary_says() -> None:
    from pydicom.sr._concepts_dict import concepts

    known = {code: meaning for entries in concepts["DCM"].values() for code, (meaning, _) in entries.items()}
    for code, scheme, meaning in DCM.values():
        assert (scheme, known[code]) == ("DCM", meaning)


def test_our_scheme_is_declared() -> None:
    (scheme,) = read(facts()).CodingSchemeIdentificationSequence
    assert (scheme.CodingSchemeDesignator, scheme.CodingSchemeUID) == (SCHEME, CODES_OID)
    assert all(len(code) <= 16 and len(words) <= 64 for code, words in CONCEPTS.items())


@ALL
def test_the_same_bytes_twice(given: ResultFacts) -> None:
    assert sr_bytes(given) == sr_bytes(given)


def test_another_run_has_other_identifiers() -> None:
    import uuid

    first, second = read(facts()), read(facts(run=uuid.uuid4()))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert first[keyword].value != second[keyword].value


@pytest.mark.parametrize("keyword", [k for type_1, type_2 in MODULES.values() for k in (*type_1, *type_2)])
def test_a_missing_attribute_is_named(keyword: str) -> None:
    dataset = document(facts())
    del dataset[keyword]
    assert any(keyword in problem for problem in problems(dataset))


def _verified(dataset: Any) -> None:
    dataset.VerificationFlag = "VERIFIED"


def _other_instance(dataset: Any) -> None:
    dataset.SOPInstanceUID = "2.25.1"


def _no_meaning(dataset: Any) -> None:
    del dataset.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning


def _two_names(dataset: Any) -> None:
    dataset.ConceptNameCodeSequence = [*dataset.ConceptNameCodeSequence, *dataset.ConceptNameCodeSequence]


def _text_contains(dataset: Any) -> None:
    dataset.ContentSequence[-1].ContentSequence = [dataset.ContentSequence[-2]]


def _no_number(dataset: Any) -> None:
    del items(dataset, CONCEPTS["N_FIELDS"])[0].MeasuredValueSequence[0].NumericValue


def _no_value(dataset: Any) -> None:
    dataset.ContentSequence[-1].TextValue = ""


def _unknown_type(dataset: Any) -> None:
    dataset.ContentSequence[-1].ValueType = "PICTURE"


def _no_method(dataset: Any) -> None:
    del dataset.DeidentificationMethod


def _bad_flag(dataset: Any) -> None:
    dataset.CompletionFlag = "DONE"


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (_verified, "VerifyingObserverSequence"), (_other_instance, "MediaStorageSOPInstanceUID"),
        (_no_meaning, "1.1: ConceptNameCodeSequence without CodeMeaning"), (_two_names, "2 items"),
        (_text_contains, "TEXT may not have"), (_no_number, "NumericValue"), (_no_value, "TEXT without TextValue"),
        (_unknown_type, "PICTURE"), (_no_method, "no method"), (_bad_flag, "DONE"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_named(plant: Callable[[Any], None], said: str) -> None:
    dataset = document(facts())
    assert problems(dataset) == []
    plant(dataset)
    assert any(said in problem for problem in problems(dataset)), problems(dataset)
