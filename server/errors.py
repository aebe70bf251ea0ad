"""Every error a caller or an admin can meet, each with its status and a stable code.

InfirmaryError
├── StartupError              one line on stderr and exit status 1
├── RequestError              4xx: the caller can mend it
│   ├── InvalidRequest        400
│   │   ├── ContextExceeded   the prompt and the answer do not fit the context
│   │   └── InvalidGrammar    the output type cannot be forced
│   ├── Unauthenticated       401
│   ├── Forbidden             403
│   ├── NotFound              404
│   │   └── WeightsNotFound   `model` names no loaded weights
│   └── PayloadTooLarge       413
├── Unavailable               503 with Retry-After: nothing was answered, the same request may be sent again
│   ├── EngineUnavailable     no engine, or it died under the request
│   ├── PrivacyUnavailable    identifiers could not be looked for
│   ├── AuditUnavailable      the request could not be recorded
│   ├── ShuttingDown          the service ends
│   └── Overloaded            429: the queue is full
├── DeadlineExceeded          504: the answer was not ready in the time that its caller gave
└── GenerationFailed          500: the engine could not finish the answer as it was promised
    └── InvalidOutput         with identities restored, the answer is no longer of the output type asked for
"""

from typing import ClassVar


class InfirmaryError(Exception):
    """Base of the tree. The message is shown to the caller, so it never holds text of a prompt or a note."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class StartupError(InfirmaryError):
    """The service cannot start; the message says what to mend."""

    code = "startup_failed"


class RequestError(InfirmaryError):
    """The caller sent something that cannot be served as it stands."""

    status = 400
    code = "bad_request"


class InvalidRequest(RequestError):
    """A field is missing, malformed, unknown or not supported; `param` names it."""

    code = "invalid_request"


class ContextExceeded(InvalidRequest):
    """The prompt plus the requested answer are longer than one sequence may be."""

    code = "context_length_exceeded"


class InvalidGrammar(InvalidRequest):
    """The output type is not one that the engine can force exactly."""

    code = "invalid_grammar"


class Unauthenticated(RequestError):
    """No key, or one that is unknown, expired or revoked."""

    status = 401
    code = "invalid_api_key"


class Forbidden(RequestError):
    """The key is good but lacks the scope."""

    status = 403
    code = "insufficient_scope"


class NotFound(RequestError):
    """No such route, task or weights."""

    status = 404
    code = "not_found"


class WeightsNotFound(NotFound):
    """The `model` of a request names no loaded weights."""

    code = "model_not_found"


class PayloadTooLarge(RequestError):
    """The body is larger than `limits.body_bytes`."""

    status = 413
    code = "payload_too_large"


class Unavailable(InfirmaryError):
    """Nothing was answered; the same request may be sent again after `retry_after_s`."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)


class EngineUnavailable(Unavailable):
    """No engine is ready, or it died while it held the request."""

    code = "engine_unavailable"


class PrivacyUnavailable(Unavailable):
    """Identifiers could not be looked for, so nothing was sent on."""

    code = "deidentification_unavailable"


class AuditUnavailable(Unavailable):
    """The request could not be recorded, so it was not answered."""

    code = "audit_unavailable"


class ShuttingDown(Unavailable):
    """The service ends: it takes nothing new, and what its grace was too short for was not answered."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("the server is shutting down; send the request again", retry_after_s=5)


class Overloaded(Unavailable):
    """The queue is full."""

    status = 429
    code = "overloaded"


class DeadlineExceeded(InfirmaryError):
    """The answer was not ready in the time that the caller, or `limits.request_timeout_s`, gave."""

    status = 504
    code = "deadline_exceeded"

    def __init__(self) -> None:
        super().__init__("the answer was not ready in time; allow more, or ask for less")


class GenerationFailed(InfirmaryError):
    """The answer could not be finished as promised, so none is given."""

    code = "generation_failed"


class InvalidOutput(GenerationFailed):
    """With the identities restored, the answer is no longer of the output type that was asked for."""

    code = "invalid_output"
