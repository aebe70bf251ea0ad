import pytest

from server.privacy.recognizers.names import NameRecognizer

RECOGNIZER = NameRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient: Maria Alvarez  MRN: 12", "Maria Alvarez"),
        ("Patient Name: Alvarez, Maria E.", "Alvarez, Maria E."),
        ("Pt: Xochitl Quispe", "Xochitl Quispe"),
        ("Pt Quispe denies pain", "Quispe"),
        ("Name: MARIA ALVAREZ DOB: 3", "MARIA ALVAREZ"),
        ("Dr. Okonkwo agrees", "Okonkwo"),
        ("Dr Young agrees", "Young"),
        ("Mr. Smith's leg", "Smith"),
        ("Mrs. O'Brien", "O'Brien"),
        ("Ms. Smith-Jones", "Smith-Jones"),
        ("Ms. Will said", "Will"),
        ("Nurse Johnson", "Johnson"),
        ("J.R. Smith, MD", "J.R. Smith"),
        ("Attending: J. Okonkwo", "J. Okonkwo"),
        ("Provider: Dr. van der Berg", "van der Berg"),
        ("Seen by Petrov today", "Petrov"),
        ("Dictated by: Wei Zhang", "Wei Zhang"),
        ("Electronically signed by Anne Kowalski, MD", "Anne Kowalski"),
        ("per Xenia Quispe, RN", "Xenia Quispe"),
        ("Thanks,\nTuan Nguyen", "Tuan Nguyen"),
        ("/s/ Tuan Nguyen", "Tuan Nguyen"),
        ("SMITH, JOHN was", "SMITH, JOHN"),
        ("Smith, John M.", "Smith, John M."),
        ("yesterday Maria Alvarez fell", "Maria Alvarez"),
        ("MARIA ALVAREZ PRESENTED WITH PAIN", "MARIA ALVAREZ"),
        ("told José Núñez that", "José Núñez"),
        ("told Maria de la Cruz that", "Maria de la Cruz"),
        ("told John A. Young that", "John A. Young"),
        ("Grace Okonkwo called", "Grace Okonkwo"),
        ("Will Petrov called", "Will Petrov"),
        ("her daughter Sarah, who", "Sarah"),
        ("Maria Alvarez HTN", "Maria Alvarez"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "Parkinson disease and a Foley catheter",
        "Wilson's disease, Graves' disease, Crohn's, Babinski, Addison",
        "Wilson Disease; Allen Test; Barrett Esophagus; Marie Tooth",
        "Assessment and Plan",
        "ASSESSMENT AND PLAN",
        "Chief Complaint: Chest Pain",
        "Blood Pressure 120/80",
        "Metoprolol Tartrate 25 mg, MS Contin, Rose Bengal",
        "Will Follow Up. May Return. Mark Site.",
        "WILL FOLLOW UP IN MAY",
        "Grace Hospital",
        "Patient: Alert and oriented",
        "Pt Denies pain",
        "Patient Reports nausea",
        "MR Angiography",
        "Chest, PA and lateral",
        "Call MD for fever",
        "DO NOT CRUSH",
        "Dear Sir",
        "Summer Rash, Hope Clinic, Faith Community",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()


def test_finds_both_of_two_doctors(found):
    assert found(RECOGNIZER, "Drs. Petrov and Okonkwo agree") == {"Petrov", "Okonkwo"}
