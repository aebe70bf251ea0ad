import pytest

from server.privacy.recognizers.record_number import RecordNumberRecognizer

RECOGNIZER = RecordNumberRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MRN: 00482913", "00482913"),
        ("MRN 00482913", "00482913"),
        ("MR# 12-34-56", "12-34-56"),
        ("Medical Record Number: A1234567", "A1234567"),
        ("medical record no. 778812", "778812"),
        ("Acct 99123", "99123"),
        ("Account no: 5551-22", "5551-22"),
        ("Encounter: E-12345", "E-12345"),
        ("Visit no 4711", "4711"),
        ("Member ID: XYZ123456789", "XYZ123456789"),
        ("Medicare 1EG4-TE5-MK73", "1EG4-TE5-MK73"),
        ("MRN is 448291", "448291"),
        ('{"mrn": "00482913"}', "00482913"),
        ('{"patient_mrn":482913}', "482913"),
        ('{"patientId": "A-5512"}', "A-5512"),
        ('{"medical_record_number" : "778812"}', "778812"),
        ('{"account_number": "5551-22"}', "5551-22"),
        ('{"encounter": "E-12345"}', "E-12345"),
        ("{'member_id': 'XYZ123456789'}", "XYZ123456789"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "Visit 2 of 3",
        "account for 30% of cases",
        "Encounter for screening",
        "WBC 12345",
        "no record of 5 doses",
        '{"visit": "2", "case": "none", "plan": "stop"}',
        '"Admission" 2024',
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()
