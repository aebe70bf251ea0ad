import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.blocks import BLOCK_TOKENS, whole_blocks
from server.engine.prefix_cache import PrefixCache
from server.engine.protocol import Sampling
from server.engine.sampler import Sampler
from server.engine.sequence import Sequence

SAMPLER = Sampler(Sampling())
TEXT = np.random.default_rng(3).integers(0, 250, 2000).tolist()
OTHER = 251
PLENTY = 1 << 20


def sequence(tokens: list[int], *, tenant: str = "", shared: int = 0, cached: int = 0) -> Sequence:
    """A request whose number is that of its place in memory."""
    made = Sequence(0, tokens, len(tokens), 100, SAMPLER, tenant=tenant, shared=shared, cached=cached)
    made.id = id(made)
    return made


def computed(tokens: list[int], **fields) -> Sequence:
    return sequence(tokens, cached=len(tokens) - 1, **fields)


def keep(cache: PrefixCache, ended: Sequence, *, size: int = 100, pinned: bool = False) -> int:
    """End a sequence as `Slots` does; how much of it was wanted."""
    length = cache.wants(ended)
    if length:
        cache.keep(ended, length, np.zeros(size, np.uint8), pinned=pinned)
    return length


def found(cache: PrefixCache, tokens: list[int], **fields) -> int:
    match = cache.find(sequence(tokens, **fields))
    return match.length if match else 0


@pytest.mark.parametrize("length", [40, 128, 129, 192, 193, 300, 1000])
@pytest.mark.parametrize("reuse", ["exact", "full"])
def test_of_the_same_prompt_all_but_the_last_token_is_taken(reuse, length):
    cache = PrefixCache(reuse, PLENTY)
    assert keep(cache, computed(TEXT[:length])) == length - 1
    assert found(cache, [*TEXT[: length - 1], OTHER]) == length - 1


@pytest.mark.parametrize("common", [31, 32, 100, 127, 128, 200, 256, 400])
def test_of_another_prompt_whole_blocks_are_taken_or_every_token(common):
    asked = TEXT[:common] + [OTHER] * 300
    exact, full, off = (PrefixCache(reuse, PLENTY) for reuse in ("exact", "full", "off"))
    for cache in (exact, full, off):
        keep(cache, computed(TEXT[:600]))
    assert found(exact, asked) == common // BLOCK_TOKENS * BLOCK_TOKENS
    assert found(full, asked) == (common if common >= 32 else 0)
    assert found(off, asked) == 0


def test_what_the_other_did_not_compute_as_whole_blocks_is_not_taken():
    cache = PrefixCache("exact", PLENTY)
    keep(cache, computed(TEXT[:300]))
    assert whole_blocks(299) == 128
    assert found(cache, TEXT[:1000]) == 128
    keep(cache, computed(TEXT[:1000]))
    assert found(cache, TEXT[:300][:-20]) == whole_blocks(279)


def test_answers_are_taken_with_full_reuse_only():
    for reuse, expected in (("exact", 128), ("full", 290)):
        cache = PrefixCache(reuse, PLENTY)
        talked = computed(TEXT[:300])
        talked.tokens, talked.prompt_length, talked.cached = TEXT[:300], 200, 290
        keep(cache, talked)
        assert found(cache, TEXT[:700]) == expected


def test_what_a_running_prompt_computes_is_there_once_it_has():
    cache = PrefixCache("exact", 0)
    running = sequence(TEXT[:600])
    cache.begin(running)
    match = cache.find(sequence(TEXT[:300] + [OTHER] * 300))
    assert match is not None
    assert (match.length, match.ready) == (256, False)
    running.cached = 256
    assert match.ready
    cache.end(running)
    assert found(cache, TEXT[:300]) == 0


def test_what_is_there_is_preferred_to_what_will_be():
    cache = PrefixCache("exact", PLENTY)
    cache.begin(sequence(TEXT[:600]))
    keep(cache, computed(TEXT[:600]))
    match = cache.find(sequence(TEXT[:600]))
    assert match is not None
    assert match.ready


def test_what_is_there_is_preferred_though_it_has_less_in_common():
    cache = PrefixCache("exact", PLENTY)
    cache.begin(sequence(TEXT[:300] + [OTHER] * 300))
    keep(cache, computed(TEXT[:256] + [OTHER] * 300))
    match = cache.find(sequence(TEXT[:600]))
    assert match is not None
    assert (match.length, match.ready) == (256, True)


@pytest.mark.parametrize("reuse", ["exact", "full"])
def test_tenants_have_in_common_what_operators_wrote(reuse):
    cache = PrefixCache(reuse, PLENTY)
    keep(cache, computed(TEXT[:700], tenant="a", shared=260))
    for tenant, expected in (("a", 699), ("b", 256 if reuse == "exact" else 260)):
        assert found(cache, TEXT[:700], tenant=tenant, shared=260) == expected
    assert found(cache, TEXT[:700], tenant="b", shared=20) == 0


@pytest.mark.parametrize(
    "shared, expected", [(0, 0), (100, 100), (259, 259), (260, 699), (261, 260), (700, 260)]
)
def test_prompts_do_not_match_across_different_marks(shared, expected):
    cache = PrefixCache("full", PLENTY)
    keep(cache, computed(TEXT[:700], tenant="a", shared=260))
    assert found(cache, TEXT[:700], tenant="a", shared=shared) == expected


def test_what_was_used_longest_ago_goes_first():
    cache = PrefixCache("exact", 250)
    prompts = [[number] * 50 for number in range(3)]
    keep(cache, computed(prompts[0]))
    keep(cache, computed(prompts[1]))
    match = cache.find(sequence(prompts[0]))
    assert match is not None
    cache.used(match)
    keep(cache, computed(prompts[2]))

    assert [found(cache, prompt) > 0 for prompt in prompts] == [True, False, True]
    assert cache.kept_bytes == 200


def test_what_is_kept_again_counts_as_used():
    cache = PrefixCache("exact", 250)
    keep(cache, computed([0] * 50))
    keep(cache, computed([1] * 50))
    assert keep(cache, computed([0] * 50)) == 0
    keep(cache, computed([2] * 50))
    assert [found(cache, [number] * 50) > 0 for number in range(3)] == [True, False, True]


def test_what_is_pinned_stays():
    cache = PrefixCache("exact", 250)
    keep(cache, computed(TEXT[:257], shared=257), pinned=True)
    for number in range(5):
        keep(cache, computed([number] * 50), size=200)
    assert found(cache, TEXT[:600], shared=300) == 256


def test_what_is_larger_than_all_room_drives_nothing_out():
    cache = PrefixCache("exact", 250)
    keep(cache, computed([0] * 50))
    keep(cache, computed([1] * 50), size=300)
    assert cache.kept_bytes == 100
    assert found(cache, [0] * 50) == 49
    assert cache.leaks == 0


@pytest.mark.parametrize("capacity, length", [(0, 500), (PLENTY, 20)])
def test_what_is_not_worth_it_is_not_kept(capacity, length):
    assert keep(PrefixCache("full", capacity), computed(TEXT[:length])) == 0


@pytest.mark.parametrize("cached, expected", [(0, 0), (127, 0), (130, 128), (255, 128), (400, 384)])
def test_of_a_prompt_that_was_broken_off_whole_blocks_are_kept(cached, expected):
    assert keep(PrefixCache("exact", PLENTY), sequence(TEXT[:600], cached=cached)) == expected


def test_of_a_last_piece_that_was_broken_off_nothing_is_kept():
    assert keep(PrefixCache("exact", PLENTY), sequence(TEXT[:300], cached=278)) == whole_blocks(299) == 128


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(["exact", "full", "off"]),
    st.sampled_from([0, 150, 1000]),
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "end", "find", "compute"]),
            st.integers(1, 500),
            st.integers(0, 60),
            st.sampled_from("ab"),
            st.integers(0, 400),
            st.integers(0, 5),
        ),
        max_size=40,
    ),
)
def test_nothing_is_lost_and_nothing_wrong_is_found(reuse, capacity, actions):
    cache = PrefixCache(reuse, capacity)
    running: list[Sequence] = []
    for action, common, tail, tenant, shared, pick in actions:
        if action == "begin":
            running.append(sequence(TEXT[:common] + [OTHER] * tail, tenant=tenant, shared=shared))
            cache.begin(running[-1])
        elif action == "compute" and running:
            running[pick % len(running)].cached = min(common, len(running[pick % len(running)].tokens))
        elif action == "end" and running:
            ended = running.pop(pick % len(running))
            keep(cache, ended, size=60, pinned=ended.warming)
            cache.end(ended)
        elif action == "find":
            asked = sequence(TEXT[:common] + [OTHER] * tail, tenant=tenant, shared=shared)
            match = cache.find(asked)
            if match:
                assert 32 <= match.length <= asked.prefill_length
                assert _tokens(match.entry.key)[: match.length] == asked.tokens[: match.length]
                cache.used(match)
        assert cache.leaks == 0
        assert cache.kept_bytes <= capacity
    for each in running:
        cache.end(each)
    assert not cache._running
    assert cache.leaks == 0


def _tokens(key) -> list[int]:
    return [token for token in key.tolist() if token >= 0]
