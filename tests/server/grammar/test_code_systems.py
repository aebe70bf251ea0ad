import hashlib
from pathlib import Path

import pytest

from server.errors import InvalidGrammar, StartupError
from server.grammar import code_systems
from server.grammar.code_systems import CodeSystem, CodeSystems, read_code_system

HEADER = "code,display\n"


@pytest.fixture
def read(tmp_path: Path):
    def reading(content: str | bytes, name: str = "codes.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_code_system("local", path)

    return reading


def system(name: str, *codes: str) -> CodeSystem:
    return CodeSystem(name, None, "0" * 64, dict.fromkeys(codes, ""))


def test_codes_displays_version_and_digest_are_read(read):
    content = '# Local list, 2026-04\ncode,display\nE11.9,"Diabetes, type 2"\nI10,Hypertension\n'
    found = read(content)
    assert (found.name, found.version) == ("local", "Local list, 2026-04")
    assert found.digest == hashlib.sha256(content.encode()).hexdigest()
    assert found.displays == {"E11.9": "Diabetes, type 2", "I10": "Hypertension"}
    assert (found.display("I10"), found.display("I11")) == ("Hypertension", None)


def test_a_table_with_tabs_and_other_columns(read):
    found = read("\ufeffDisplay\tstatus\tCode\r\nFièvre\tactive\tR50\r\n\r\n", "codes.tsv")
    assert (found.version, found.displays) == (None, {"R50": "Fièvre"})


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "the header must name one column 'code'"),
        ("E11.9,Diabetes\n", "line 1: the header must name one column 'code'"),
        ("code\nE11.9\n", "line 1: the header must name one column 'display'"),
        ("code,code,display\n", "one column 'code'"),
        (HEADER, "holds no code"),
        ("# 2026\n" + HEADER + "A,a\nB,b\nA,c\n", "line 5: the code A is there twice"),
        (HEADER + "A\n", "line 2: 1 columns, where the header has 2"),
        (HEADER + "A,a,b\n", "line 2: 3 columns, where the header has 2"),
        (HEADER + ",a\n", "line 2: a code has 1 to 64 characters"),
        (HEADER + " A,a\n", "line 2: a code has 1 to 64 characters"),
        (HEADER + "A" * 65 + ",a\n", "line 2: a code has 1 to 64 characters"),
        (HEADER + "A\\B,a\n", "line 2: a code holds no quotation mark"),
        (HEADER + '"A""B",a\n', "line 2: a code holds no quotation mark"),
        (HEADER + "A\u0007B,a\n", "line 2: a code holds no quotation mark"),
        (HEADER + 'A,"a\n', "line 2: unexpected end of data"),
        (HEADER.encode() + b"A,\xff\n", "is not UTF-8 at byte 15"),
    ],
)
def test_mistakes_are_told_with_setting_file_and_line(read, content, said):
    with pytest.raises(StartupError) as caught:
        read(content)
    assert caught.value.message.startswith("codes.local: ")
    assert "codes.csv" in caught.value.message
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_another_kind_of_file_is_refused(read):
    with pytest.raises(StartupError, match=r"must be a \.csv or a \.tsv file"):
        read(HEADER, "codes.xlsx")


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(StartupError, match=r"codes.local: .*none.csv cannot be read: No such file"):
        read_code_system("local", tmp_path / "none.csv")


def test_too_many_codes_are_refused(read, monkeypatch):
    monkeypatch.setattr(code_systems, "MAX_MEMBERS", 3)
    read(HEADER + "A,\nB,\nC,\n")
    with pytest.raises(StartupError, match="line 5: there are more than 3 codes"):
        read(HEADER + "A,\nB,\nC,\nD,\n")


def test_each_system_that_is_used_has_a_placeholder():
    systems = CodeSystems([system("a", "1"), system("b", "2"), system("c", "3")], [7, 9])
    assert systems.placeholders(["c", "a"]) == {"c": 7, "a": 9}
    assert systems.placeholders([]) == {}
    with pytest.raises(InvalidGrammar, match=r"3 code systems.* control tokens for 2"):
        systems.placeholders(["a", "b", "c"])


def test_weights_without_control_tokens_serve_no_code_systems():
    assert list(CodeSystems([], [])) == []
    with pytest.raises(StartupError, match="no control token"):
        CodeSystems([system("a", "1")], [])
