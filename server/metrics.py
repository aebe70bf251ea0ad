"""Every metric the service exports, declared in one place. Labels are bounded: no text of a caller is one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_REQUEST_TOKENS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_STEP_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_GRAMMAR_SECONDS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 0.5, 2)
_STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "infirmary_requests",
            "Requests answered, by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self.request_duration = self._seconds(
            "infirmary_request_duration_seconds", "From the first byte in to the last byte out.", ("route",)
        )
        self.tokens = Counter(
            "infirmary_tokens", "Tokens, of prompts and of completions.", ("kind",), registry=registry
        )
        self.request_tokens = Histogram(
            "infirmary_request_tokens",
            "Tokens of one request, of its prompt and of its completion.",
            ("kind",),
            buckets=_REQUEST_TOKENS,
            registry=registry,
        )
        self.queue_wait = self._seconds(
            "infirmary_queue_wait_seconds", "From submission to the first decode step of a request."
        )
        self.time_to_first_token = self._seconds(
            "infirmary_time_to_first_token_seconds", "From submission to the first token of the answer."
        )
        self.deidentification = self._seconds(
            "infirmary_deidentification_seconds", "Search for identifiers in one request's texts."
        )
        self.audit_write = self._seconds("infirmary_audit_write_seconds", "Commit of one audit record.")
        self.engine_step = Histogram(
            "infirmary_engine_step_seconds",
            "One decode step with sampling.",
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self.engine_step_tokens = Histogram(
            "infirmary_engine_step_tokens",
            "Tokens of all sequences that one decode step carried.",
            buckets=_STEP_TOKENS,
            registry=registry,
        )
        self.grammar_mask = Histogram(
            "infirmary_grammar_mask_seconds",
            "Which tokens a grammar lets through at one place of one answer.",
            buckets=_GRAMMAR_SECONDS,
            registry=registry,
        )
        self.grammar_compile = Histogram(
            "infirmary_grammar_compile_seconds",
            "Compilation of one grammar that the engine did not know.",
            buckets=_GRAMMAR_SECONDS,
            registry=registry,
        )
        self.engine_restarts = Counter(
            "infirmary_engine_restarts", "Engine processes that died and were replaced.", registry=registry
        )
        self.engine_up = Gauge(
            "infirmary_engine_up", "1 while an engine is ready for requests.", registry=registry
        )
        self.engine_memory = Gauge(
            "infirmary_engine_memory_bytes",
            "Memory that the engine was estimated to need; kv is left out where it cannot be told.",
            ("kind",),
            registry=registry,
        )
        self.requests_running = Gauge(
            "infirmary_requests_running", "Requests that hold an engine slot.", registry=registry
        )
        self.requests_waiting = Gauge(
            "infirmary_requests_waiting", "Requests that wait for an engine slot.", registry=registry
        )

        self.reused_tokens = Counter(
            "infirmary_prefix_cache_tokens",
            "Prompt tokens that were taken over from an earlier prompt.",
            registry=registry,
        )
        self.prefix_cache_bytes = Gauge(
            "infirmary_prefix_cache_bytes", "Host memory of prompts kept for reuse.", registry=registry
        )
        self.drafted_tokens = Counter(
            "infirmary_speculation_drafted_tokens",
            "Tokens guessed from what was written before, and checked.",
            registry=registry,
        )
        self.accepted_tokens = Counter(
            "infirmary_speculation_accepted_tokens", "Guessed tokens that were right.", registry=registry
        )
        self.engine_leaks = Gauge(
            "infirmary_engine_leaks",
            "Slots, KV cells and prefixes unaccounted for when the engine was last idle; 0 unless a bug.",
            registry=registry,
        )

    def count_tokens(self, prompt: int, completion: int) -> None:
        """Count the tokens of one ended request."""
        for kind, count in (("prompt", prompt), ("completion", completion)):
            self.tokens.labels(kind).inc(count)
            self.request_tokens.labels(kind).observe(count)

    def set_engine_memory(self, *, weights: int, kv: int | None, buffers: int) -> None:
        """Bytes of one ready engine."""
        for kind, size in (("weights", weights), ("kv", kv), ("buffers", buffers)):
            if size is not None:
                self.engine_memory.labels(kind).set(size)

    def _seconds(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self.registry)
