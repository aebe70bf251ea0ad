"""What was computed for one prompt and can be taken over by another: while it runs, and afterwards."""

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from server.engine.backend import State
from server.engine.blocks import cut_before, whole_blocks
from server.engine.protocol import PrefixReuse
from server.engine.radix import Key, RadixTree
from server.engine.sequence import Sequence

_WORTHWHILE_TOKENS = 32
_WORTH_WAITING_TOKENS = 64


@dataclass(slots=True, eq=False)
class Entry:
    """Tokens that a running sequence holds, or that were kept when it ended.

    Of `length` tokens the first `blocks` were computed as whole blocks, the first `end` as one prefill.
    """

    key: Key
    length: int
    end: int
    blocks: int
    sequence: Sequence | None = None
    state: State | None = None
    pinned: bool = False
    computed_alone: bool = True

    @property
    def undisturbed(self) -> bool:
        """Whether it was computed alone, as the same prompt would be again."""
        return self.computed_alone if self.sequence is None else self.sequence.undisturbed

    @property
    def computed(self) -> int:
        """Tokens that are there by now."""
        return self.length if self.sequence is None else min(self.sequence.cached, self.length)


@dataclass(frozen=True, slots=True)
class Match:
    """`length` tokens that can be taken from `entry`, of which `available` are computed by now."""

    entry: Entry
    length: int
    available: int

    @property
    def worth_waiting(self) -> bool:
        """Whether what is still to come is what it was chosen for."""
        return self.length - self.available >= _WORTH_WAITING_TOKENS


class PrefixCache:
    """A radix tree over the prompts that run and those that are kept, with their answers.

    What operators wrote, the first `shared` tokens of a prompt, matches for everyone; the rest only for the
    same tenant. With `exact` reuse a prompt that is alone takes over only what was computed alone, and only
    whole blocks or all of it, as it would have been computed itself; beside others, where the numbers differ
    anyway, it takes every token. With `full` reuse it always does. `capacity_bytes` bounds what is kept; what
    was used longest ago goes first.
    """

    def __init__(self, reuse: PrefixReuse, capacity_bytes: int) -> None:
        self._reuse = reuse
        self._capacity_bytes = capacity_bytes
        self._tree: RadixTree[Entry] = RadixTree()
        self._running: dict[int, Entry] = {}
        self._kept: OrderedDict[int, Entry] = OrderedDict()
        self._tenants: dict[str, int] = {}
        self.kept_bytes = 0

    def find(self, sequence: Sequence, *, alone: bool = False) -> Match | None:
        """The most that `sequence` can take over; of equals the one that is there already."""
        if self._reuse == "off":
            return None
        exact = (alone or sequence.warming) and self._reuse == "exact"
        now = later = None
        for common, entries in self._tree.matches(self._key(sequence, sequence.prefill_length)):
            tokens = common - (common > sequence.shared)
            if tokens < _WORTHWHILE_TOKENS or (now and tokens <= now.available):
                break
            others = (each for each in entries if each.sequence is not sequence)
            for match in (_match(each, tokens, sequence.prefill_length, exact=exact) for each in others):
                now = match if now is None or match.available > now.available else now
                if later is None or (match.length, match.available) > (later.length, later.available):
                    later = match
        if now is None or later is None:
            return None
        best = later if later.length - now.available >= _WORTH_WAITING_TOKENS else now
        return best if best.length >= _WORTHWHILE_TOKENS else None

    def begin(self, sequence: Sequence) -> None:
        """Let others share what `sequence`, which holds a slot now, is about to compute."""
        if self._reuse == "off":
            return
        end = sequence.prefill_length
        entry = Entry(self._key(sequence, end), end, end, whole_blocks(end), sequence)
        self._running[sequence.id] = entry
        self._tree.insert(entry.key, entry)

    def end(self, sequence: Sequence) -> None:
        """Forget the slot of a sequence that gives it up."""
        entry = self._running.pop(sequence.id, None)
        if entry is not None:
            self._tree.remove(entry.key, entry)

    def wants(self, sequence: Sequence, *, pinned: bool = False) -> int:
        """Tokens of `sequence`, which ends, that are worth keeping; 0 where they are kept as well already."""
        length = sequence.cached
        if self._reuse == "off" or not self._capacity_bytes or length < _WORTHWHILE_TOKENS:
            return 0
        twin = self._twin(self._key(sequence, length))
        if twin is None or _worth(sequence, length, pinned=pinned) > (
            twin.computed_alone,
            twin.end,
            twin.blocks,
        ):
            return length
        self._touch(twin)
        twin.pinned |= pinned
        return 0

    def keep(self, sequence: Sequence, length: int, state: State, *, pinned: bool = False) -> None:
        """Keep the first `length` tokens of `sequence`, whose KV is `state`."""
        key = self._key(sequence, length)
        twin = self._twin(key)
        if twin is not None:
            pinned |= twin.pinned
            self._drop(twin)
        if state.nbytes > self._capacity_bytes - self._pinned_bytes:
            return
        computed_alone, end, blocks = _worth(sequence, length, pinned=pinned)
        entry = Entry(key, length, end, blocks, state=state, pinned=pinned, computed_alone=computed_alone)
        self._tree.insert(entry.key, entry)
        self._kept[id(entry)] = entry
        self.kept_bytes += state.nbytes
        self._evict()

    def used(self, match: Match) -> None:
        """Note that an entry was of use."""
        self._touch(match.entry)

    @property
    def leaks(self) -> int:
        """Entries that the tree and the lists do not agree on, and bytes miscounted; 0 unless a bug."""
        listed = set(map(id, itertools.chain(self._kept.values(), self._running.values())))
        in_tree = set(map(id, self._tree))
        miscounted = self.kept_bytes != sum(self._bytes())
        return len(listed ^ in_tree) + miscounted

    @property
    def _pinned_bytes(self) -> int:
        return sum(
            each.state.nbytes for each in self._kept.values() if each.pinned and each.state is not None
        )

    def _bytes(self) -> Iterator[int]:
        return (entry.state.nbytes for entry in self._kept.values() if entry.state is not None)

    def _twin(self, key: Key) -> Entry | None:
        """What is kept of the very same tokens."""
        return next((each for each in self._kept.values() if np.array_equal(each.key, key)), None)

    def _touch(self, entry: Entry) -> None:
        if id(entry) in self._kept:
            self._kept.move_to_end(id(entry))

    def _evict(self) -> None:
        idle = [entry for entry in self._kept.values() if not entry.pinned]
        for entry in idle:
            if self.kept_bytes <= self._capacity_bytes:
                return
            self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        del self._kept[id(entry)]
        self._tree.remove(entry.key, entry)
        self.kept_bytes -= entry.state.nbytes if entry.state is not None else 0

    def _key(self, sequence: Sequence, length: int) -> Key:
        """Its tokens, with a mark of the tenant, which is no token, before the first that a caller wrote."""
        tokens = np.array(sequence.tokens[:length], np.int32)
        if sequence.shared >= length:
            return tokens
        mark = -1 - self._tenants.setdefault(sequence.tenant, len(self._tenants))
        return np.insert(tokens, sequence.shared, mark)


def _match(entry: Entry, common: int, end: int, *, exact: bool) -> Match:
    length = _usable(entry, common, end, exact=exact)
    available = min(entry.computed, length)
    return Match(entry, length, cut_before(available) if exact and available < length else available)


def _worth(sequence: Sequence, length: int, *, pinned: bool) -> tuple[bool, int, int]:
    """What an entry of it can be used for when exactly: whether at all, as one prefill, in blocks."""
    end = min(length, sequence.prefill_length)
    complete = end == sequence.prefill_length
    blocks = (
        end if pinned and sequence.warming else min(cut_before(end), whole_blocks(sequence.prefill_length))
    )
    return sequence.undisturbed, end if complete else 0, blocks


def _usable(entry: Entry, common: int, end: int, *, exact: bool) -> int:
    """How many of `common` tokens a prefill of `end` tokens can take from `entry`."""
    if not exact:
        return min(common, entry.length, end)
    if not entry.undisturbed:
        return 0
    blocks = whole_blocks(end)
    if common >= end == entry.end and entry.blocks >= blocks:
        return end
    return min(cut_before(common), entry.blocks, blocks)
