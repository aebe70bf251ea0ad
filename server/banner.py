"""What the terminal shows once the service is ready."""

import json

from server.engine.memory import describe
from server.state import Services

_NOTE = "Patient: Maria Alvarez. Metoprolol 25 mg PO BID. Stopped prednisone 10 mg last week."


def banner(services: Services, host: str, port: int) -> str:
    """The address, the key where this start made it, and a command that works when pasted."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    weights = services.inference.router.list()[0]
    ready = services.engine.ready
    variable = "$INFIRMARY_BOOTSTRAP_KEY" if services.settings.bootstrap_key else "$KEY"
    lines = [
        "",
        f"  Infirmary is ready at {url}  (API: {url}/openapi.json)",
        f"  Weights: {weights.version}, on {ready.device if ready else 'an engine that is starting'}",
    ]
    if ready:
        lines += [f"  Memory: about {describe(ready.memory, ready.sequences, ready.context_tokens)}"]
    if warning := services.inference.privacy.warning:
        lines += [f"  WARNING: {warning}"]
    if services.first_key:
        lines += [f"  Key (shown once, with every scope): {services.first_key}"]
    elif services.settings.bootstrap_key:
        lines += ["  Key: INFIRMARY_BOOTSTRAP_KEY"]
    else:
        lines += ["  Key: the one shown at the first start (KEY=inf_… in your shell, for what follows)"]
    return "\n".join([*lines, "", "  Try:", "", _curl(url, services.first_key or variable), ""])


def _curl(url: str, key: str) -> str:
    body = json.dumps({"text": _NOTE})
    return (
        f"curl -s {url}/v1/clinical/medications \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
