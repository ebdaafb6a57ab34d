"""The words of results and of the work, explained to a pathologist who is no statistician. Pure text.

``tests/core/test_help.py`` computes every number of an example anew, and follows every link to a word.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """``key`` is the anchor, ``also`` the headings (lower case) that lead here, ``example`` has numbers."""

    key: str
    name: str
    text: str
    example: str = ""
    also: tuple[str, ...] = ()


ACCURACY = (
    Word(
        "reference", "Reference diagnosis",
        "What a patient has, as far as can be known: by flow cytometry, genetics or a panel. Readers and AI are "
        "measured against it, and readers do not see it before their study is unblinded.",
    ),
    Word(
        "sensitivity", "Sensitivity (recall)",
        "Of the patients who have the disease, the share that was found. It says nothing about false alarms.",
        "20 patients have AML and 18 of them were called AML: 18 / 20 = 0.90.",
        ("sensitivity", "sensitivity/recall", "recall", "leukemia found", "macro sensitivity"),
    ),
    Word(
        "specificity", "Specificity",
        "Of the patients who do not have the disease, the share that was rightly cleared of it. It is high by itself "
        "where a disease is rare among the patients, for most of the others are easy to clear.",
        "Of 44 patients without AML, 2 were called AML: 42 / 44 = 0.95.",
        ("specificity", "normals kept", "macro specificity"),
    ),
    Word(
        "ppv", "Precision (positive predictive value, PPV)",
        "Of the patients who were called so, the share that has the disease. It depends on how frequent the disease "
        "is among those read, so it does not carry over to a hospital with other patients.",
        "20 patients were called AML and 18 of them have it: 18 / 20 = 0.90.",
        ("ppv", "precision/ppv", "macro ppv", "precision"),
    ),
    Word(
        "npv", "Negative predictive value (NPV)",
        "Of the patients who were cleared of a disease, the share that indeed does not have it. Like the PPV it "
        "depends on how frequent the disease is.",
        "44 patients were not called AML and 42 of them do not have it: 42 / 44 = 0.95.",
        ("npv",),
    ),
    Word(
        "f1", "F1",
        "One number for a class from what was missed and what was called wrongly: twice the right ones, divided by "
        "the same plus the missed and the false ones. It is 1 when both kinds of error are absent and low when "
        "either is frequent.",
        "18 right, 2 missed, 2 called wrongly: 36 / (36 + 2 + 2) = 0.90.",
        ("f1",),
    ),
    Word(
        "macro", "Macro average, macro F1",
        "The plain mean over the classes, each counting the same however many patients it has. A class with three "
        "patients moves it as much as one with thirty, so look at how many patients stand behind it.",
        "F1 of three classes 0.90, 0.80 and 0.40: macro F1 = 0.70, although most patients were read well.",
        ("macro", "macro f1", "macro f1 (3)", "best macro f1", "macro accuracy"),
    ),
    Word(
        "accuracy", "Accuracy (exact match)",
        "The share of patients whose diagnosis is exactly the reference's. Where one class is frequent, calling "
        "everybody that class already gives a high accuracy, which is why the macro average stands beside it.",
        "45 of 64 patients right: 45 / 64 = 0.70, with an interval of 0.58 to 0.80.",
        ("accuracy", "exact match"),
    ),
    Word(
        "matthews", "Matthews correlation",
        "One number for a whole table of reference against answers: 1 all right, 0 no better than guessing by "
        "frequency. It is not fooled by a frequent class.",
        also=("matthews correlation",),
    ),
    Word(
        "confusion", "Confusion matrix",
        "A table that counts every reference (rows) against every answer (columns). The diagonal is right; each "
        "other cell says what was taken for what.",
        also=("confusion matrix",),
    ),
    Word(
        "auc", "Area under the curve (AUC)",
        "The chance that a patient with the disease gets the higher number than one without it, when one of each is "
        "picked. 0.5 is a coin, 1 is a perfect order.",
        also=("auc",),
    ),
)  # fmt: skip

AGREEMENT = (
    Word(
        "agreement", "Agreement",
        "The share of cases on which two said the same. Two who only guess agree on some cases too, which is what "
        "kappa takes off.",
        "41 of 50 cases the same: 0.82.",
        ("agreement", "same said"),
    ),
    Word(
        "kappa", "Kappa (Cohen's kappa)",
        "Agreement beyond chance: 1 is always the same, 0 is as often the same as two would be who only keep their "
        "own frequencies. There is no limit above which it is good; read it with its interval and with the "
        "agreement.",
        "Two readers, 50 cases, leukemia or not: both yes 20, both no 21, different 9. Agreement 41 / 50 = 0.82; by "
        "chance 0.50; kappa = (0.82 - 0.50) / (1 - 0.50) = 0.64.",
        ("kappa", "cohen's kappa", "lowest kappa", "highest kappa", "mean kappa", "kappa with reference",
         "kappa, patients as units", "kappa, images as units", "kappa in short", "agreement of pairs"),
    ),
    Word(
        "pabak", "PABAK",
        "Kappa as it would be if all classes were equally frequent. Where it is much higher than kappa, kappa is low "
        "because one class is rare, and not because the two often differ.",
        "50 cases, both no 45, both yes 1, different 4: agreement 0.92, kappa only 0.29, PABAK 0.84.",
        ("pabak",),
    ),
    Word(
        "several", "Coefficients of several readers",
        "Fleiss', Conger's and Light's kappa, Gwet's AC1 and Krippendorff's alpha say with one number how far "
        "several readers agree beyond chance. They differ in what they take for chance and in how they treat cases "
        "that somebody left out, so a report must name which one it gives.",
        also=("coefficient", "readers together", "fleiss' kappa"),
    ),
    Word(
        "positive-agreement", "Positive agreement",
        "Agreement on one class alone: of the times that either said this class, how often both did (counted twice). "
        "It shows which class two people see differently.",
        "One said ACUTE 12 times, the other 10 times, 9 times both: 2 x 9 / (12 + 10) = 0.82.",
        ("positive agreement",),
    ),
    Word(
        "intra", "Agreement of a reader with themself",
        "The same reader reads the same cases again after a pause; what differs is chance of that reader, and no "
        "other reader can be expected to agree better. Two sessions of one person are never counted as two readers.",
    ),
)  # fmt: skip

CERTAINTY = (
    Word(
        "interval", "Interval (95 %)",
        "The numbers that fit these data: had the study been done a hundred times, about 95 of such intervals would "
        "hold the true value. A wide one says that there were few patients; it shows how far one may trust the "
        "number before it.",
        "0.90 from 20 patients has the interval 0.68 to 0.99; the same 0.90 from 200 patients 0.85 to 0.93.",
        also=("intervals",),
    ),
    Word(
        "overlap", "Two intervals that overlap",
        "Whether two intervals overlap does not tell whether two readers differ, for they read the same cases. Look "
        "at the interval of the difference: where it holds 0, these data do not show one.",
        also=("difference",),
    ),
    Word(
        "bootstrap", "BCa bootstrap",
        "Where no formula gives an interval, patients are drawn again by chance some thousand times and the number "
        "is computed each time; the middle 95 % are the interval. BCa corrects it where the draws are lopsided; the "
        "stored seed gives the same draws again.",
    ),
    Word(
        "undefined", "A dash",
        "The number does not exist, for instance the sensitivity of a class that no patient has. It is neither 0 nor "
        "1, and averages leave it out.",
    ),
    Word(
        "p-value", "p value",
        "How often chance alone would give a difference at least as large as this one, if there were none. A small p "
        "is a reason to doubt chance; a large one does not show that two are equal.",
        also=("p",),
    ),
    Word(
        "units", "Patients as units",
        "Images of one patient are alike, so thirty of them say less than thirty patients. Intervals here draw whole "
        "patients; counting images as if they were independent makes them look surer than they are.",
    ),
)  # fmt: skip

COMPARISONS = (
    Word(
        "mcnemar", "McNemar test, exact and mid-p",
        "Compares two evaluators on the same cases by those alone where just one of them is right; all other cases "
        "say nothing about the difference. The mid-p form is a little less strict than the exact one, which errs on "
        "the cautious side.",
        "Only the AI right on 9 cases, only the reader on 2: exact p = 0.065, mid-p = 0.039.",
        ("mcnemar exact p", "mcnemar mid-p", "more often right in one? p"),
    ),
    Word(
        "holm", "Holm's adjustment",
        "Who compares the AI with five readers gets a small p by chance more often than who compares it with one. "
        "Holm multiplies the smallest p by the number of comparisons, the next by one less, and so on, so that all "
        "together keep the promised error.",
        "p values 0.010, 0.030 and 0.040 become 0.030, 0.060 and 0.060.",
        ("holm, ai against readers",),
    ),
    Word(
        "stuart-maxwell", "Stuart-Maxwell test",
        "Asks whether two series of answers on the same cases use the classes equally often. A small p says that one "
        "calls some class more often than the other; it does not say who is right.",
        also=("stuart-maxwell p", "other classes in one? p"),
    ),
    Word(
        "non-inferiority", "Non-inferiority margin",
        "The largest loss that one would still accept, fixed before anybody has seen data. The AI is called non- "
        "inferior when the whole interval of the difference lies above minus the margin; when it does not, "
        "inferiority is not shown either.",
        "Margin 0.05. Difference -0.01 (-0.04 to 0.02): non-inferior. Difference -0.01 (-0.07 to 0.05): not shown.",
    ),
    Word(
        "mrmc", "Readers and cases at random",
        "A study wants to say something about readers and patients in general and not about just those who took "
        "part. The interval then counts both as drawn by chance, which makes it wider than one for these readers "
        "alone.",
        also=("for these readers alone", "readers' mean"),
    ),
    Word(
        "cramers-v", "Cramer's V",
        "How far one property of a patient tells another, such as the camera the diagnosis: 0 not at all, 1 "
        "completely. Where it is high, a reader or a network may learn the camera instead of the cells.",
        "Camera A took 18 of 20 leukemias and camera B 16 of 20 normals: V = 0.70.",
        also=("cramér's v",),
    ),
    Word(
        "pre-specified", "Pre-specified and exploratory",
        "Pre-specified is what the protocol asked before the first reading; everything else is exploratory. Among "
        "many numbers some look striking by chance, so only the first kind can prove something.",
        also=("endpoint",),
    ),
)  # fmt: skip

STUDIES = (
    Word(
        "blinding", "Blinding",
        "Readers learn nothing that could steer an answer: not the reference, not the AI, not what others or they "
        "themselves said. It is built into the tables and addresses and does not hang on anybody's attention.",
    ),
    Word(
        "session", "Reading session",
        "One pass of one reader through all cases of a study, in an order of its own. It ends with a signature, and "
        "nothing in it can be changed after.",
    ),
    Word(
        "washout", "Washout",
        "The days between two readings of the same cases, so that the first is forgotten. They are counted from the "
        "last look at any case, and the second session does not open before.",
        "14 days; the last look was on 2026-11-26: the second session opens on 2026-12-10.",
        ("protocol asks",),
    ),
    Word(
        "protocol", "Protocol and lock",
        "The plan of a study: who reads what, how often, and what is measured. Locking fixes it under a signature "
        "before anybody reads; later changes are amendments with a reason, and all versions stay.",
    ),
    Word(
        "seal", "Seal",
        "The signature under a finished session. All answers get a checksum of their own then, so that a later "
        "change of even one of them would show.",
    ),
    Word(
        "freeze", "Freeze and unblind",
        "Freezing ends the reading; nothing is added to the data. Unblinding, once and with a reason, lets the "
        "coordinators see answers beside the reference.",
    ),
    Word(
        "eligibility", "Who may read",
        "Whoever has seen the reference, an AI result or a label of a patient cannot read that patient blinded any "
        "more. The program keeps account of it and names the overlaps before a study is locked.",
    ),
    Word(
        "panel", "Panel",
        "After the unblinding several people may look at a disputed case together. What they say stands beside the "
        "readers' answers and does not enter the main analysis.",
    ),
)  # fmt: skip

PIPELINE = (
    Word(
        "hierarchy", "Hierarchy of models",
        "Three networks look at every field: the first asks leukemia or not, the second acute or chronic, the third "
        "which subtype. Rules turn their answers on all fields into one diagnosis of the patient.",
        also=("acute or chronic?", "which kind?"),
    ),
    Word(
        "gate", "Gate",
        "The first rule: how many fields must look like leukemia before the patient counts as such. A low gate finds "
        "more and errs more on normal smears, all the more with many fields.",
        "One wrong field in 69 and a gate of one field: a normal smear of 33 fields passes as normal in only 62 % of "
        "cases.",
        also=("is there leukemia?",),
    ),
    Word(
        "cascade", "Cascade",
        "The quick way: the second and third model are run only where the gate opened. What was not run is not "
        "known, which is not the same as negative.",
    ),
    Word(
        "grad-cam", "Saliency map (Grad-CAM)",
        "Colours those parts of a field that moved the network towards a class. It shows where the network looked, "
        "not why, and does not show that the answer is right.",
        also=("saliency map", "saliency maps", "grad-cam"),
    ),
    Word(
        "probability", "Probability of a field",
        "How sure a network says it is about a class; all classes of a network add up to 1. It is only as good as "
        "its calibration: a network can be sure and wrong.",
        also=("called with", "at validation"),
    ),
    Word(
        "calibration", "Calibration",
        "Whether a network is right as often as it says: of the fields called with 0.80, eight of ten should be "
        "right. The expected calibration error is the mean gap between the two.",
        also=("expected calibration error",),
    ),
    Word(
        "pipeline-version", "Pipeline and its version",
        "The models, the way images are prepared and the rules, fixed together. Exactly one version is active; every "
        "result names the one it came from.",
    ),
)  # fmt: skip

DATA = (
    Word(
        "field", "Field",
        "One microscope field of a smear at high power, at its place in the order in which the slide was captured. Its "
        "picture is an (HPF) image. A slide has many fields, and a patient may have several slides.",
    ),
    Word(
        "cohort", "Cohort",
        "Patients gathered for one purpose: development, which networks may learn from, or external validation, "
        "which they may never see. The program keeps the two apart.",
    ),
    Word(
        "label", "Label and diagnosis",
        "A label is of one image, given by sorting; a diagnosis is of a patient. A patient with AML can have fields "
        "on which nobody would see it.",
    ),
    Word(
        "dataset-version", "Dataset version",
        "A frozen list of images with labels and sides (training or internal validation) that a training reads. It "
        "never changes; new labels give a new version, so it stays known what a network has learned from.",
    ),
    Word(
        "near-duplicate", "Near duplicate",
        "Two images that show almost the same, such as a field taken twice or saved again in another format. If one "
        "is trained on and the other is used to test, the result looks better than it is, so such pairs are settled "
        "before a freeze.",
    ),
    Word(
        "drift", "Drift",
        "Incoming images look different from those trained on, through another camera or stain. It is told in "
        "standard deviations; it is a reason to check the results, not a proof that they are wrong.",
        also=("shift (sd)", "cohen's d"),
    ),
    Word(
        "ledger", "Ledger (jobs)",
        "The list in which all long work stands, with how far it has come. Work that is interrupted, even by a power "
        "cut, goes on from the last part that was saved.",
    ),
    Word(
        "audit", "Audit trail",
        "Who did what and when, one entry for each deed; entries can be added, not changed. Each holds a checksum of "
        "the one before, so that a change anywhere would show.",
    ),
    Word(
        "checksum", "SHA-256, checksum",
        "A fingerprint of a file or record: the same content always gives the same, and the smallest change another "
        "one. Two people who compare it know that they hold the same file.",
    ),
)  # fmt: skip

GROUPS = (
    ("One evaluator against the reference", ACCURACY),
    ("Two and more readers", AGREEMENT),
    ("How sure a number is", CERTAINTY),
    ("Comparisons", COMPARISONS),
    ("Reader studies", STUDIES),
    ("The AI pipeline", PIPELINE),
    ("Images and records", DATA),
)
WORDS = {word.key: word for _, words in GROUPS for word in words}
HEADINGS = {name: word.key for word in WORDS.values() for name in (word.name.lower(), *word.also)}
