"""The work of each role, in the order in which it is done. Pure text with names of addresses.

A step names the action that it needs; ``tests/core/test_help.py`` opens every page as the role that is sent there.
"""

from __future__ import annotations

from dataclasses import dataclass

from leukoweb.core.models import Role


@dataclass(frozen=True, slots=True)
class Step:
    """``page`` is the name of the address where it is done."""

    title: str
    text: str
    page: str
    action: str


TECHNICIAN = (
    Step(
        "Make room for the patients",
        "A cohort holds patients who serve one purpose: development, which networks learn from, or external "
        "validation, which they never see. Each patient has a code that is no name, and one or more slides.",
        "cohort_list", "slides.view",
    ),
    Step(
        "Upload the images",
        "Choose the slide and drop the folder. Identities in files are taken out, every file is checked, and an "
        "upload that was cut off goes on where it stopped.",
        "upload", "slides.upload",
    ),
    Step(
        "Look through the fields",
        "Before a study can use a slide, somebody looks at all its fields: does any show a name, a label, a date? "
        "Fields that seem to hold text are framed.",
        "slide_reviews", "slides.review",
    ),
    Step(
        "Write down how the slide was made",
        "Camera, microscope, stain and day belong to the slide; a paper needs them. On the slide's page each can be "
        "filled in and corrected, with a reason, and fields can be moved or removed.",
        "cohort_list", "slides.mend",
    ),
    Step(
        "Run the AI",
        "On a slide's or a cohort's page. It works in the background; you see that it is done, not what it says.",
        "cohort_list", "inference.run",
    ),
    Step(
        "See what is waiting",
        "All long work stands here with how far it has come, and can be cancelled or tried again.",
        "job_list", "jobs.view",
    ),
)  # fmt: skip

PATHOLOGIST = (
    Step(
        "Sort images",
        "For a training set, every image gets a label by a key press, in a gallery or one by one. Before the task is "
        "closed you do not see what the other sorters said, nor they what you said; coordinators and admins do.",
        "sorting_home", "sorting.sort",
    ),
    Step(
        "Begin a reading session",
        "Once a study invites you, it stands here: read the instructions, agree, and begin. The first cases may be "
        "there for practice.",
        "reading_home", "studies.read",
    ),
    Step(
        "Read",
        "Look at the fields of a case, give one diagnosis and how sure you are, and go on; the key ? shows all "
        "keys. Every answer is kept at once, so you can stop at any time and go on later, on another computer too.",
        "reading_home", "studies.read",
    ),
    Step(
        "Sign",
        "When all cases are answered you check and sign with your password. Nothing of the session can be changed "
        "after that.",
        "reading_home", "studies.read",
    ),
    Step(
        "Read again after the pause",
        "If the study asks for a second session, it opens by itself on its day, in another order. Keep no notes on "
        "the first one.",
        "reading_home", "studies.read",
    ),
    Step(
        "Use the AI outside of studies",
        "You may run it on slides that you do not read in a study, and see what it says and where it looked. "
        "Whoever has seen a result of a patient can no longer read that patient in a study.",
        "result_list", "results.view",
    ),
    Step(
        "See what is waiting",
        "The work that you started, with how far it has come.",
        "job_list", "jobs.view",
    ),
)  # fmt: skip

COORDINATOR = (
    Step(
        "Gather the patients",
        "A study reads patients of one cohort. Technicians upload and look through the slides.",
        "cohort_list", "slides.view",
    ),
    Step(
        "Enter the reference diagnoses",
        "One by one on a patient's page, or many from a table. They can be corrected, and what stood before is "
        "kept.",
        "reference_list", "references.edit",
    ),
    Step(
        "Design the study",
        "Who reads which patients, how often, with how long a pause, with or without the AI, and what is measured. "
        "The page says what is missing, who may not read, and how narrow the intervals will be.",
        "study_list", "studies.manage",
    ),
    Step(
        "Lock the protocol",
        "Under your signature. From then on cases and orders are fixed; later changes are amendments with a reason.",
        "study_list", "studies.manage",
    ),
    Step(
        "Invite the readers, and watch",
        "The study's page shows how far each session has come, never an answer. You can move the last day, replace "
        "a reader, or take in readings made elsewhere.",
        "study_list", "studies.manage",
    ),
    Step(
        "Freeze, then unblind",
        "When all sessions are signed. Both want a signature and unblinding a reason; the study's page keeps who, "
        "when and why.",
        "study_list", "studies.manage",
    ),
    Step(
        "Analyse",
        "Tables, figures and a report, each number with its interval, and a bundle that anybody can check. Each "
        "heading leads to an explanation of the word.",
        "study_list", "analyses.view",
    ),
    Step(
        "Look back",
        "The audit trail holds who did what; the History of a study or patient shows what happened to just that.",
        "audit_list", "audit.view",
    ),
)  # fmt: skip

ADMIN = (
    Step(
        "Let people in",
        "Make each person with one role and hand over the sign-in link. Here you also disable people and mend lost "
        "passwords and second steps.",
        "user_list", "users.manage",
    ),
    Step(
        "Have images sorted",
        "Make a task from cohorts, seat several pathologists and perhaps somebody who settles what they dispute; "
        "then look at their agreement and close it.",
        "sorting_home", "sorting.manage",
    ),
    Step(
        "Curate",
        "Measure the quality of the images, take poor ones out, and settle near duplicates.",
        "curation_home", "curation.manage",
    ),
    Step(
        "Freeze a dataset version",
        "Images with labels, and patients dealt to training and internal validation. It never changes after.",
        "dataset_list", "datasets.freeze",
    ),
    Step(
        "Train",
        "On a frozen version. It runs in the background and can be stopped and continued; what comes out is a "
        "candidate.",
        "training_list", "training.run",
    ),
    Step(
        "Compare and promote",
        "The candidate is compared with the active pipeline on the same patients. Promoting it needs a reason and "
        "can be taken back.",
        "promotion_list", "models.manage",
    ),
    Step(
        "Keep the installation well",
        "Disk, queue, backups and the audit chain, with what to do where something is wrong.",
        "health", "health.view",
    ),
    Step(
        "Look back",
        "The audit trail holds who did what, when and why.",
        "audit_list", "audit.view",
    ),
)  # fmt: skip

STEPS = {
    Role.TECHNICIAN: TECHNICIAN, Role.PATHOLOGIST: PATHOLOGIST, Role.COORDINATOR: COORDINATOR, Role.ADMIN: ADMIN,
}  # fmt: skip
