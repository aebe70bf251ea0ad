"""Log-probabilities in OpenAI's shape."""

from collections.abc import Sequence

from schemas.openai import ChoiceLogprobs, TokenLogprob, TopLogprob
from server.engine.llama.vocabulary import Vocabulary
from server.inference.generation import Score

_LEAST = -9999.0


def choice_logprobs(scores: Sequence[Score], vocabulary: Vocabulary) -> ChoiceLogprobs:
    """The tokens as the weights wrote them: pseudonyms are not restored in their texts."""
    return ChoiceLogprobs(
        content=[_token(token, score.logprob, score.top, vocabulary) for token, score in scores]
    )


def _token(
    token: int, logprob: float, top: Sequence[tuple[int, float]], vocabulary: Vocabulary
) -> TokenLogprob:
    shown = _shown(token, logprob, vocabulary)
    return TokenLogprob(**vars(shown), top_logprobs=[_shown(*each, vocabulary) for each in top])


def _shown(token: int, logprob: float, vocabulary: Vocabulary) -> TopLogprob:
    """JSON knows no infinity: what is impossible is as unlikely as OpenAI says it."""
    piece = vocabulary.piece(token, special=True)
    return TopLogprob(token=piece.decode("utf-8", "replace"), logprob=max(logprob, _LEAST), bytes=list(piece))
