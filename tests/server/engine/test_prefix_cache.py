import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.blocks import BLOCK_TOKENS, cut_before, whole_blocks
from server.engine.prefix_cache import Entry, PrefixCache
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


def computed(tokens: list[int], *, undisturbed: bool = True, **fields) -> Sequence:
    made = sequence(tokens, cached=len(tokens) - 1, **fields)
    made.undisturbed = undisturbed
    return made


def warmed(length: int, **fields) -> Sequence:
    """The first `length` tokens of the text, computed for later use alone."""
    made = computed(TEXT[: length + 1], shared=length + 1, **fields)
    made.max_tokens = 0
    return made


def answered(prompt: list[int], answer: list[int], **fields) -> Sequence:
    """One whose answer ended: its last token was sampled and never computed."""
    made = computed(prompt, **fields)
    made.tokens = prompt + answer
    made.cached = len(made.tokens) - 1
    return made


def keep(cache: PrefixCache, ended: Sequence, *, size: int = 100, pinned: bool = False) -> int:
    """End a sequence as `Slots` does; how much of it was wanted."""
    length = cache.wants(ended, pinned=pinned)
    if length:
        cache.keep(ended, length, np.zeros(size, np.uint8), pinned=pinned)
    return length


def found(cache: PrefixCache, tokens: list[int], *, alone: bool = False, **fields) -> int:
    match = cache.find(sequence(tokens, **fields), alone=alone)
    return match.length if match else 0


EVERY_WAY = pytest.mark.parametrize(
    "reuse, alone", [("exact", True), ("exact", False), ("full", True), ("full", False)]
)


@pytest.mark.parametrize("length", [40, 128, 129, 192, 193, 300, 1000])
@EVERY_WAY
def test_of_the_same_prompt_all_but_the_last_token_is_taken(reuse, alone, length):
    cache = PrefixCache(reuse, PLENTY)
    assert keep(cache, computed(TEXT[:length])) == length - 1
    assert found(cache, [*TEXT[: length - 1], OTHER], alone=alone) == length - 1


@pytest.mark.parametrize("common", [31, 32, 100, 127, 128, 200, 256, 400])
def test_of_another_prompt_whole_blocks_are_taken_by_one_alone_or_every_token(common):
    asked = TEXT[:common] + [OTHER] * 300
    every = common if common >= 32 else 0
    exact, full, off = (PrefixCache(reuse, PLENTY) for reuse in ("exact", "full", "off"))
    for cache in (exact, full, off):
        keep(cache, computed(TEXT[:600]))
    assert found(exact, asked, alone=True) == cut_before(common)
    assert found(exact, asked, alone=False) == every
    for alone in (True, False):
        assert found(full, asked, alone=alone) == every
        assert found(off, asked, alone=alone) == 0


def test_what_the_other_did_not_compute_as_whole_blocks_is_not_taken_by_one_alone():
    cache = PrefixCache("exact", PLENTY)
    keep(cache, computed(TEXT[:300]))
    assert whole_blocks(299) == 128
    assert found(cache, TEXT[:1000], alone=True) == 128
    assert found(cache, TEXT[:1000], alone=False) == 299
    keep(cache, computed(TEXT[:1000]))
    assert found(cache, TEXT[:300][:-20], alone=True) == whole_blocks(279) == 128
    assert found(cache, TEXT[:300][:-20], alone=False) == 279


@EVERY_WAY
def test_what_was_computed_beside_others_is_not_given_to_one_alone(reuse, alone):
    cache = PrefixCache(reuse, PLENTY)
    exactly = reuse == "exact" and alone
    keep(cache, computed(TEXT[:600], undisturbed=False))
    assert found(cache, TEXT[:600], alone=alone) == (0 if exactly else 599)
    keep(cache, computed(TEXT[:300] + [OTHER] * 100))
    assert found(cache, TEXT[:600], alone=alone) == (256 if exactly else 599)
    assert found(cache, TEXT[:500], alone=alone) == (256 if exactly else 499)


def test_what_is_computed_again_alone_takes_the_place_of_what_was_not():
    cache = PrefixCache("exact", PLENTY)
    for undisturbed, wanted, expected in (
        (False, 599, 0),
        (False, 0, 0),
        (True, 599, 599),
        (True, 0, 599),
        (False, 0, 599),
    ):
        assert keep(cache, computed(TEXT[:600], undisturbed=undisturbed)) == wanted
        assert found(cache, TEXT[:600], alone=True) == expected
        assert found(cache, TEXT[:600], alone=False) == 599
        assert cache.kept_bytes == 100
        assert cache.leaks == 0


@EVERY_WAY
def test_answers_are_taken_but_by_one_alone_with_exact_reuse(reuse, alone):
    cache = PrefixCache(reuse, PLENTY)
    exactly = reuse == "exact" and alone
    assert keep(cache, answered(TEXT[:200], TEXT[200:300])) == 299
    assert found(cache, TEXT[:700], alone=alone) == (128 if exactly else 299)
    assert found(cache, TEXT[:300], alone=alone) == (128 if exactly else 299), "as long, but no prefill"
    assert found(cache, TEXT[:250], alone=alone) == (128 if exactly else 249)
    assert found(cache, TEXT[:200], alone=alone) == 199, "the same prompt"


def test_each_answer_of_a_prompt_is_kept_and_found_by_its_own_next_turn():
    cache = PrefixCache("exact", PLENTY)
    for token in (OTHER, OTHER + 1):
        assert keep(cache, answered(TEXT[:300], [token] * 41)) == 340
    for token in (OTHER, OTHER + 1):
        asked = TEXT[:300] + [token] * 41 + TEXT[:100]
        assert found(cache, asked, alone=False) == 340
        assert found(cache, asked, alone=True) == 128
    assert (cache.kept_bytes, cache.leaks) == (200, 0)
    assert keep(cache, answered(TEXT[:300], [OTHER] * 41)) == 0


def test_answers_stay_with_their_tenant_though_operators_wrote_all_of_the_prompt():
    cache = PrefixCache("exact", PLENTY)
    keep(cache, answered(TEXT[:200], TEXT[200:300], tenant="a", shared=200))
    for tenant, expected in (("a", 299), ("b", 200)):
        assert found(cache, TEXT[:700], tenant=tenant, shared=200) == expected


@pytest.mark.parametrize("alone, length", [(False, 300), (True, 256)])
def test_what_a_running_prompt_computes_is_there_once_it_has(alone, length):
    cache = PrefixCache("exact", 0)
    running = sequence(TEXT[:600])
    cache.begin(running)
    for running.cached in (0, 63, 64, 128, 192, length - 64, length - 63, length - 1, length, 599):
        match = cache.find(sequence(TEXT[:300] + [OTHER] * 300), alone=alone)
        assert match is not None
        available = min(running.cached, length)
        if alone and available < length:
            available = cut_before(available)
        assert (match.length, match.available) == (length, available)
        assert match.worth_waiting == (length - available >= 64)
    cache.end(running)
    assert found(cache, TEXT[:300], alone=alone) == 0


@pytest.mark.parametrize("common, worth_waiting", [(63, False), (64, True)])
def test_fewer_than_64_tokens_are_not_worth_waiting_for(common, worth_waiting):
    cache = PrefixCache("exact", 0)
    cache.begin(sequence(TEXT[:600]))
    match = cache.find(sequence(TEXT[:common] + [OTHER] * 100))
    assert match is not None
    assert (match.length, match.available, match.worth_waiting) == (common, 0, worth_waiting)


def test_what_a_running_prompt_computes_beside_others_is_not_given_to_one_alone():
    cache = PrefixCache("exact", 0)
    running = computed(TEXT[:600])
    cache.begin(running)
    assert found(cache, TEXT[:600], alone=True) == 599
    running.undisturbed = False
    assert found(cache, TEXT[:600], alone=True) == 0
    assert found(cache, TEXT[:600], alone=False) == 599


@EVERY_WAY
def test_of_a_running_sequence_its_prompt_alone_is_there(reuse, alone):
    cache = PrefixCache(reuse, 0)
    running = answered(TEXT[:256], TEXT[256:300])
    cache.begin(running)
    expected = whole_blocks(255) if reuse == "exact" and alone else 255
    assert found(cache, TEXT[:600], alone=alone) == expected


@pytest.mark.parametrize("kept_first", [False, True])
@EVERY_WAY
def test_what_is_there_is_preferred_to_what_will_be(reuse, alone, kept_first):
    cache = PrefixCache(reuse, PLENTY)
    if kept_first:
        keep(cache, computed(TEXT[:600]))
    cache.begin(sequence(TEXT[:600]))
    if not kept_first:
        keep(cache, computed(TEXT[:600]))
    match = cache.find(sequence(TEXT[:600]), alone=alone)
    assert match is not None
    assert (match.length, match.available, match.worth_waiting) == (599, 599, False)


def test_what_is_there_is_preferred_though_it_has_less_in_common():
    cache = PrefixCache("exact", PLENTY)
    cache.begin(sequence(TEXT[:300] + [OTHER] * 300))
    keep(cache, computed(TEXT[:256] + [OTHER] * 300))
    match = cache.find(sequence(TEXT[:600]), alone=True)
    assert match is not None
    assert (match.length, match.available, match.worth_waiting) == (256, 256, False)


@pytest.mark.parametrize(
    "common, expected",
    [
        (319, (256, 256, False)),
        (320, (320, 0, True)),
    ],
)
def test_what_is_there_is_preferred_unless_64_tokens_more_will_be(common, expected):
    cache = PrefixCache("exact", PLENTY)
    keep(cache, computed(TEXT[:256] + [OTHER] * 300))
    cache.begin(sequence(TEXT[:common] + [OTHER + 1] * 300))
    match = cache.find(sequence(TEXT[:600]))
    assert match is not None
    assert (match.length, match.available, match.worth_waiting) == expected


@EVERY_WAY
def test_of_those_that_run_the_one_that_is_furthest_is_taken(reuse, alone):
    cache = PrefixCache(reuse, 0)
    running = [sequence(TEXT[:600], cached=cached) for cached in (100, 599, 300)]
    for each in running:
        cache.begin(each)
    match = cache.find(sequence(TEXT[:600]), alone=alone)
    assert match is not None
    assert (match.entry.sequence, match.length, match.available) == (running[1], 599, 599)


@EVERY_WAY
def test_what_is_warmed_takes_what_it_would_have_computed_whoever_else_runs(reuse, alone):
    cache = PrefixCache(reuse, PLENTY)
    keep(cache, computed(TEXT[:400], shared=400))
    asked = warmed(512)
    match = cache.find(asked, alone=alone)
    assert match is not None
    assert match.length == match.available == (256 if reuse == "exact" else 399)
    keep(cache, computed(TEXT[:600], shared=600, undisturbed=False))
    match = cache.find(asked, alone=alone)
    assert match is not None
    assert match.length == match.available == (256 if reuse == "exact" else 512)


@EVERY_WAY
def test_tenants_have_in_common_what_operators_wrote(reuse, alone):
    cache = PrefixCache(reuse, PLENTY)
    keep(cache, computed(TEXT[:700], tenant="a", shared=260))
    for tenant, expected in (("a", 699), ("b", 256 if reuse == "exact" and alone else 260)):
        assert found(cache, TEXT[:700], alone=alone, tenant=tenant, shared=260) == expected
    assert found(cache, TEXT[:700], alone=alone, tenant="b", shared=20) == 0


@pytest.mark.parametrize(
    "shared, expected", [(0, 0), (100, 100), (259, 259), (260, 699), (261, 260), (700, 260)]
)
@pytest.mark.parametrize("reuse, alone", [("exact", False), ("full", True), ("full", False)])
def test_prompts_do_not_match_across_different_marks(reuse, alone, shared, expected):
    cache = PrefixCache(reuse, PLENTY)
    keep(cache, computed(TEXT[:700], tenant="a", shared=260))
    assert found(cache, TEXT[:700], alone=alone, tenant="a", shared=shared) == expected


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
    keep(cache, warmed(256), pinned=True)
    for number in range(5):
        keep(cache, computed([number] * 50), size=200)
    for alone in (True, False):
        assert found(cache, TEXT[:600], alone=alone, shared=300) == 256


@pytest.mark.parametrize(
    "pinned, warming, expected", [(True, True, 256), (True, False, 128), (False, True, 128)]
)
def test_of_what_is_pinned_and_warmed_alone_the_last_piece_is_a_block(pinned, warming, expected):
    cache = PrefixCache("exact", PLENTY)
    ended = warmed(256) if warming else computed(TEXT[:257], shared=257)
    assert keep(cache, ended, pinned=pinned) == 256
    assert found(cache, TEXT[:600], alone=True, shared=300) == expected
    assert found(cache, TEXT[:600], alone=False, shared=300) == 256


def in_parts() -> Sequence:
    """The first 256 tokens of a longer prompt that was broken off, alone."""
    return sequence(TEXT[:600], shared=600, cached=256)


def whole(*, undisturbed: bool = True) -> Sequence:
    """A prompt whose prefill is the first 256 tokens."""
    return computed(TEXT[:257], shared=257, undisturbed=undisturbed)


WORTH = [
    lambda: whole(undisturbed=False),
    in_parts,
    whole,
    lambda: warmed(256),
]


@pytest.mark.parametrize("later", range(len(WORTH)))
@pytest.mark.parametrize("earlier", range(len(WORTH)))
def test_of_twins_the_one_that_is_worth_more_stays(earlier, later):
    cache = PrefixCache("exact", 250)
    first, second = WORTH[earlier](), WORTH[later]()
    assert keep(cache, first, pinned=first.warming) == 256
    (before,) = cache._kept.values()
    assert keep(cache, second, pinned=second.warming) == (256 if later > earlier else 0)
    (entry,) = cache._kept.values()
    assert (entry is before) == (later <= earlier)
    assert entry.pinned == (first.warming or second.warming)
    assert (cache.kept_bytes, cache.leaks) == (100, 0)
    assert found(cache, TEXT[:600], alone=True, shared=600) == (0, 256, 128, 256)[max(earlier, later)]
    assert found(cache, TEXT[:600], shared=600) == 256


@pytest.mark.parametrize("better", [in_parts, whole])
def test_what_takes_the_place_of_what_is_pinned_is_pinned(better):
    cache = PrefixCache("exact", 250)
    keep(cache, warmed(256, undisturbed=False), pinned=True)
    assert found(cache, TEXT[:600], alone=True, shared=600) == 0
    assert keep(cache, better()) == 256
    (entry,) = cache._kept.values()
    assert entry.pinned
    for number in range(5):
        keep(cache, computed([number] * 50), size=200)
    assert found(cache, TEXT[:600], alone=True, shared=600) >= 128
    assert (cache.kept_bytes, cache.leaks) == (100, 0)


@pytest.mark.parametrize("earlier", [in_parts, whole, lambda: whole(undisturbed=False)])
def test_what_was_kept_before_it_is_pinned_stays(earlier):
    cache = PrefixCache("exact", 250)
    keep(cache, earlier())
    assert keep(cache, warmed(256), pinned=True) == 256
    assert keep(cache, warmed(256), pinned=True) == 0
    for number in range(5):
        keep(cache, computed([number] * 50), size=200)
    for alone in (True, False):
        assert found(cache, TEXT[:600], alone=alone, shared=300) == 256
    assert (cache.kept_bytes, cache.leaks) == (100, 0)


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


@pytest.mark.parametrize(
    "cached, expected", [(0, 0), (31, 0), (63, 0), (64, 64), (127, 64), (130, 128), (255, 128), (400, 384)]
)
def test_of_a_prompt_that_was_broken_off_one_alone_takes_whole_blocks(cached, expected):
    cache = PrefixCache("exact", PLENTY)
    every = cached if cached >= 32 else 0
    assert keep(cache, sequence(TEXT[:600], cached=cached)) == every
    assert found(cache, TEXT[:600], alone=True) == expected
    assert found(cache, TEXT[:600], alone=False) == every


def test_of_a_last_piece_that_was_broken_off_one_alone_takes_nothing():
    cache = PrefixCache("exact", PLENTY)
    assert keep(cache, sequence(TEXT[:300], cached=278)) == 278
    for length in (300, 279, 700):
        assert found(cache, TEXT[:length], alone=True) == whole_blocks(299) == 128
        assert found(cache, TEXT[:length], alone=False) == 278


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(["exact", "full", "off"]),
    st.sampled_from([0, 150, 1000]),
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "warm", "end", "find", "compute", "answer", "disturb"]),
            st.integers(1, 500),
            st.integers(0, 60),
            st.sampled_from("ab"),
            st.integers(0, 400),
            st.integers(0, 5),
            st.booleans(),
        ),
        max_size=40,
    ),
)
def test_nothing_is_lost_and_nothing_wrong_is_found(reuse, capacity, actions):
    cache = PrefixCache(reuse, capacity)
    running: list[Sequence] = []
    for action, common, tail, tenant, shared, pick, alone in actions:
        text = TEXT[:common] + [OTHER] * tail
        if action == "find":
            asked = sequence(text, tenant=tenant, shared=shared)
            check(cache, asked, reuse, alone=alone)
        elif action in {"begin", "warm"}:
            length = BLOCK_TOKENS * (1 + common % 3) + 1
            begun = sequence(text, tenant=tenant, shared=shared)
            if action == "warm":
                begun = warmed(length - 1)
            running.append(begun)
            cache.begin(begun)
        elif running:
            each = running[pick % len(running)]
            if action == "end":
                running.remove(each)
                keep(cache, each, size=60, pinned=each.warming)
                cache.end(each)
            else:
                advance(each, action, common, tail)
        assert cache.leaks == 0
        assert cache.kept_bytes <= capacity
    for each in running:
        cache.end(each)
    assert not cache._running
    assert cache.leaks == 0


def advance(running: Sequence, action: str, common: int, tail: int) -> None:
    """Compute some of a prompt, or all of it and a piece of an answer, or have another come along."""
    if action == "disturb":
        running.undisturbed = False
    elif action == "compute" and not running.warming:
        running.cached = min(common, len(running.tokens))
    elif action == "answer" and not running.warming:
        running.tokens = running.tokens + TEXT[len(running.tokens) :][:tail] + [OTHER]
        running.cached = len(running.tokens) - 1


def check(cache: PrefixCache, asked: Sequence, reuse: str, *, alone: bool) -> None:
    """What is found is the most that is there, unless another will have 64 tokens more."""
    match = cache.find(asked, alone=alone)
    if reuse == "off":
        assert match is None
        return
    end, exactly = asked.prefill_length, alone and reuse == "exact"
    options = [usable(cache, entry, asked, exactly=exactly) for entry in cache._tree]
    now = max((available for _, available in options), default=0)
    later = max((length for length, _ in options), default=0)
    if later - now >= 64:
        assert match
        assert match.worth_waiting
        assert match.length == later
    else:
        assert (match is None) == (now < 32) or (match and match.length >= 32 > now == match.available)
        assert match is None or (match.available, match.worth_waiting) == (now, False)
    if match:
        assert match.length <= end
        assert 0 <= match.available <= match.length
        assert _tokens(match.entry.key)[: match.length] == asked.tokens[: match.length]
        assert match.entry.undisturbed or not exactly
        cache.used(match)


def usable(cache: PrefixCache, entry: Entry, asked: Sequence, *, exactly: bool) -> tuple[int, int]:
    """What `asked` can take from an entry, in the end and by now."""
    length = usable_in_the_end(cache, entry, asked, exactly=exactly)
    available = min(length, entry.computed)
    return length, cut_before(available) if exactly and available < length else available


def usable_in_the_end(cache: PrefixCache, entry: Entry, asked: Sequence, *, exactly: bool) -> int:
    """What `asked` can take from an entry, token by token."""
    end = asked.prefill_length
    pairs = zip(entry.key.tolist(), cache._key(asked, end).tolist(), strict=False)
    same = [left for left, right in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]
    common = sum(token >= 0 for token in same)
    if not exactly:
        return common
    if not entry.undisturbed:
        return 0
    if common == end == entry.end and entry.blocks == whole_blocks(end):
        return end
    return min(cut_before(common), entry.blocks, whole_blocks(end))


def _tokens(key) -> list[int]:
    return [token for token in key.tolist() if token >= 0]
