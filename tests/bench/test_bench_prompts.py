from prompts import PromptWriter
from workloads import cold_chat


def text_of(messages: list[dict[str, str]]) -> str:
    return " ".join(message["content"] for message in messages)


def test_the_same_seed_writes_the_same_and_another_does_not():
    one, same, other = PromptWriter(1), PromptWriter(1), PromptWriter(2)
    assert [one.chat(340) for _ in range(3)] == [same.chat(340) for _ in range(3)]
    assert PromptWriter(1).chat(340) != other.chat(340)


def test_no_two_prompts_begin_alike():
    writer = PromptWriter(1)
    openings = [writer.chat(340)[0]["content"] for _ in range(2000)]
    assert len(set(openings)) == len(openings)


def test_a_prompt_has_about_its_length_and_no_slot_left_open():
    writer = PromptWriter(1)
    for tokens in (340, 2000):
        text = text_of(writer.chat(tokens))
        assert abs(len(text.split()) * 1.39 - tokens) < 40
        assert "{" not in text


def test_each_client_of_a_repetition_has_its_own_fresh_prompts():
    writer = PromptWriter(1)
    row = cold_chat(8, 128)
    bodies = [body for _ in range(3) for client in row.plan(writer) for body in client]
    assert len(bodies) == 24
    assert len({text_of(body["messages"]) for body in bodies}) == 24


def test_a_single_client_asks_more_than_once():
    assert [len(client) for client in cold_chat(1, 128).plan(PromptWriter(1))] == [4]
