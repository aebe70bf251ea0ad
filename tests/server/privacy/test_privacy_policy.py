from server.privacy.deidentifier import Deidentifier
from server.privacy.policy import Disclosure

NOTE = "Patient: Maria Alvarez. [NAME_1] is no pseudonym of ours."


async def test_disclosure_changes_nothing_and_counts_nothing():
    policy = Disclosure()
    await policy.start()
    seen = await policy.deidentify([NOTE, ""])
    await policy.close()

    assert [text.text for text in seen.texts] == [NOTE, ""]
    assert seen.texts[0].original_span(9, 22) == (9, 22)
    assert seen.vault.counts == {}
    assert seen.vault.restore(NOTE) == NOTE
    restorer = seen.vault.restorer(json=True)
    assert restorer.feed("a [NAME_") + restorer.flush() == "a [NAME_"


async def test_only_disclosure_warns():
    assert "identities reach the model" in Disclosure.warning
    assert Deidentifier.warning is None
