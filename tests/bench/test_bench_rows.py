import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from extraction import RESPONSE_FORMAT, SCHEMA
from facts import Facts, UnlikeServers
from prompts import PromptWriter
from report import Settings
from rows import all_rows, cold_text, common_instruction, extraction, long_prompt, unshared_text, warm_text
from serving import main
from turns import Turns
from workloads import context_for

from server.grammar.compiler import compile_json_schema


def text_of(body: dict) -> str:
    return " ".join(message["content"] for message in body["messages"])


def test_each_client_of_a_repetition_has_its_own_fresh_prompts():
    writer = PromptWriter(1)
    for row in (cold_text(8, 128), unshared_text(8, 128), extraction(8)):
        bodies = [body for _ in range(3) for client in row.load(writer).clients for body in client]
        assert len({text_of(body) for body in bodies}) == len(bodies) == 24


def test_a_single_client_asks_more_than_once():
    assert [len(client) for client in cold_text(1, 128).load(PromptWriter(1)).clients] == [4]


def test_a_warm_client_asks_what_it_has_just_asked():
    row = warm_text(1, 128)
    load = row.load(PromptWriter(1))
    assert row.primed
    assert [[load.clients[0][0]]] == load.opening().clients
    assert len({text_of(body) for body in load.clients[0]}) == 1
    assert not cold_text(1, 128).primed


def test_without_the_search_a_row_is_the_same():
    rows = {row.name: row for row in all_rows([8], 128)}
    on, off = rows["warm text (de-id on) 8 clients"], rows["warm text (de-id off) 8 clients"]
    assert (on.deidentify, off.deidentify) == (True, False)
    assert on.goals == off.goals
    assert on.load(PromptWriter(1)) == off.load(PromptWriter(1))


def test_the_sharing_clients_share_their_system_message_alone():
    load = common_instruction().load(PromptWriter(1))
    conversations = [body["messages"] for client in load.clients for body in client]
    assert len({system["content"] for system, _ in conversations}) == 1
    assert len({question["content"] for _, question in conversations}) == 16
    assert abs(len(conversations[0][0]["content"].split()) * 1.39 - 2000) < 40


def test_what_warms_up_shares_nothing_with_what_is_measured():
    row, writer = common_instruction(), PromptWriter(1)
    (warm_up,) = row.warm_up(writer).clients
    instruction = row.load(writer).clients[0][0]["messages"][0]["content"]
    assert warm_up[0]["messages"][0]["content"][:20] != instruction[:20]
    assert row.restart


def test_the_long_prompt_fits_into_a_sequence():
    row = long_prompt()
    load = row.load(PromptWriter(1))
    assert abs(len(text_of(load.late).split()) * 1.39 - 6300) < 40
    assert load.late["max_tokens"] + 6300 < row.context_tokens == 8192
    assert row.slots == len(load.clients) + 1


def test_both_forms_of_extraction_ask_for_the_one_schema():
    plain, compact = (
        extraction(8, compact=compact).load(PromptWriter(1)).clients[0][0] for compact in (False, True)
    )
    assert plain["response_format"] == compact["response_format"] == RESPONSE_FORMAT
    assert "without any blanks" not in text_of(plain)
    assert "without any blanks" in text_of(compact)
    assert compile_json_schema(SCHEMA).text
    assert "maxItems" in json.dumps(SCHEMA)


def test_a_slot_has_room_for_prompt_and_answer():
    assert context_for(340, 128) == 768
    assert context_for(2000, 128) == 3328


def test_rows_are_listed_and_chosen_by_parts_of_their_names():
    listed = CliRunner().invoke(main, ["--list", "--clients", "1,8", "--rows", "cold text, long"])
    assert listed.output.splitlines() == [
        "cold text (de-id on) 1 client",
        "cold text (de-id on) 8 clients",
        "cold text (de-id off) 1 client",
        "cold text (de-id off) 8 clients",
        "long prompt amid 4 chats",
    ]
    assert "no row has such a name" in CliRunner().invoke(main, ["--list", "--rows", "luke"]).output
    assert "--peer is needed" in CliRunner().invoke(main, []).output


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (common_instruction(), "started anew"),
        (all_rows([1], 8)[1], "privacy.policy off"),
        (long_prompt(), "8192 are needed"),
    ],
)
def test_a_running_server_is_spared_what_it_cannot_do(row, reason, monkeypatch):
    monkeypatch.setattr("turns.facts_of", lambda server: Facts(context_tokens=4096))
    settings = Settings(
        peer="llama-server",
        base="http://127.0.0.1:1",
        key=None,
        weights=Path("none.gguf"),
        repeat=1,
        tokens=8,
        clients=(1,),
        rows=(),
        threads=2,
        seed=1,
        peer_as_shipped=False,
    )
    with pytest.raises(UnlikeServers, match=f"{row.name[:4]}.*SKIPPED, .*{reason}"):
        Turns(settings, print).measure([row])
