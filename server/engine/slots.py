"""Which sequence holds which slot of the KV cache, and what it finds there."""

from collections.abc import Iterator

from server.engine.backend import Backend
from server.engine.prefix_cache import Match, PrefixCache
from server.engine.sequence import Sequence


class Slots:
    """The running sequences, in neighbouring slots: llama.cpp computes the KV streams of these together."""

    def __init__(self, backend: Backend, cache: PrefixCache) -> None:
        self._backend = backend
        self._cache = cache
        self._held: list[Sequence | None] = [None] * backend.sequences
        self._reused = 0

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for sequence in self._held if sequence is not None)

    def __len__(self) -> int:
        return sum(sequence is not None for sequence in self._held)

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self._held.count(None)

    def place(self, sequence: Sequence, *, alone: bool) -> bool:
        """Give a slot to `sequence` with all that is known of its prompt already.

        The answer of one that is `alone` depends on nothing but its prompt. False where it is better off
        later: another one is about to compute what they have in common.
        """
        match = self._cache.find(sequence, alone=alone)
        if match and match.worth_waiting:
            _hurry(match, sequence)
            return False
        sequence.slot = self._vacancy()
        self._held[sequence.slot] = sequence
        if match and match.available:
            self._restore(match, sequence)
            sequence.undisturbed = alone or sequence.warming
        self._cache.begin(sequence)
        return True

    def look_again(self) -> None:
        """Let prompts that came alone, and are no longer, take over what they might not take then."""
        for sequence in self if len(self) > 1 else ():
            match = self._beside_others(sequence)
            if match:
                self._backend.clear(sequence.slot)
                self._restore(match, sequence)
                sequence.undisturbed = False

    def has_beside_others(self, sequence: Sequence, count: int) -> bool:
        """Whether `sequence`, were it not alone, would not have to compute its next `count` tokens."""
        match = self._beside_others(sequence)
        return match is not None and match.available >= sequence.cached + count

    def _beside_others(self, sequence: Sequence) -> Match | None:
        """What a prompt that came alone, and has kept to what may be taken then, finds beside others."""
        if not sequence.undisturbed or not sequence.prefill_left or sequence.warming:
            return None
        match = self._cache.find(sequence)
        return match if match and match.available > sequence.cached else None

    def release(self, sequence: Sequence, *, pinned: bool = False) -> None:
        """Take the slot back, keeping of its contents what others may need."""
        length = self._cache.wants(sequence, pinned=pinned)
        if length:
            self._backend.trim(sequence.slot, length)
            self._cache.keep(sequence, length, self._backend.save(sequence.slot), pinned=pinned)
        self._cache.end(sequence)
        self._vacate(sequence.slot)

    def close_gaps(self) -> None:
        """Bring the sequences together again where others ended between them; as few move as possible."""
        slots = [each.slot for each in self]
        if not slots or slots[-1] - slots[0] < len(slots):
            return
        starts = range(len(self._held) - len(slots) + 1)
        run = max(
            (range(start, start + len(slots)) for start in starts),
            key=lambda run: sum(slot in run for slot in slots),
        )
        gaps = (slot for slot in run if self._held[slot] is None)
        strays = [each for each in self if each.slot not in run]
        for sequence, gap in zip(strays, gaps, strict=True):
            self._move(sequence, gap)

    def take_reused(self) -> int:
        """Tokens that were found computed already since this was last asked."""
        reused, self._reused = self._reused, 0
        return reused

    def leaks(self) -> int:
        """Slots whose contents are not what their sequence says; 0 unless a bug."""
        held = (each.cached if each else 0 for each in self._held)
        return sum(self._backend.held(slot) != expected for slot, expected in enumerate(held))

    def _restore(self, match: Match, sequence: Sequence) -> None:
        entry, length = match.entry, match.available
        if entry.sequence is not None:
            self._backend.copy(entry.sequence.slot, sequence.slot, length)
        elif entry.state is not None:
            self._backend.load(sequence.slot, entry.state)
            self._backend.trim(sequence.slot, length)
        sequence.cached = sequence.reused = length
        self._reused += length
        self._cache.used(match)

    def _vacancy(self) -> int:
        """The free slot that is nearest to those held."""
        held = [each.slot for each in self]
        free = (slot for slot, holder in enumerate(self._held) if holder is None)
        return min(free, key=lambda slot: min((abs(slot - each) for each in held), default=slot))

    def _move(self, sequence: Sequence, slot: int) -> None:
        if sequence.cached:
            self._backend.copy(sequence.slot, slot, sequence.cached)
        self._vacate(sequence.slot)
        sequence.slot, self._held[slot] = slot, sequence

    def _vacate(self, slot: int) -> None:
        self._backend.clear(slot)
        self._held[slot] = None


def _hurry(match: Match, sequence: Sequence) -> None:
    """Who waits for another lends it its priority."""
    if match.entry.sequence is not None:
        match.entry.sequence.hurried = min(match.entry.sequence.hurried, sequence.priority)
