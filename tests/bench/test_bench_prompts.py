from prompts import PromptWriter


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
