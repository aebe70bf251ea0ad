"""Who stops the server gives it time: for the drain, and for what is closed after it."""

import re
from pathlib import Path

from server.settings import LimitSettings

ROOT = Path(__file__).parents[2]
CLOSING_S = 30


def test_systemd_waits_for_the_drain() -> None:
    found = re.search(
        r"^TimeoutStopSec=(\d+)$", (ROOT / "deploy/infirmary.service").read_text(), re.MULTILINE
    )
    assert found
    assert int(found[1]) >= LimitSettings().drain_s + CLOSING_S


def test_kubernetes_waits_for_the_drain() -> None:
    values = (ROOT / "helm/values.yaml").read_text()
    assert f"drainSeconds: {LimitSettings().drain_s:g}\n" in values
    pod = (ROOT / "helm/templates/_pod.tpl").read_text()
    assert f"terminationGracePeriodSeconds: {{{{ add (int .Values.drainSeconds) {CLOSING_S} }}}}" in pod
