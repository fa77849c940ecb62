"""A client as all should be: it waits for each answer, and reads it."""

import http.client
import json
import time

from bench.attacks.wire import Target

_BODY = json.dumps(
    {"text": "房间干净，服务也好，就是早餐太差，下次来还是会选别的地方吃。"}
).encode()
_INTERVAL = 0.02


def well_behaved(target: Target, seconds: float) -> list[tuple[str, float]]:
    """The status of each answer, or the error instead, and the seconds that it took."""
    kept = http.client.HTTPConnection(*target, timeout=20)
    kept.connect()
    found: list[tuple[str, float]] = []
    ends = time.monotonic() + seconds
    due = time.monotonic()
    while due < ends:
        time.sleep(max(0.0, due - time.monotonic()))
        new = len(found) % 2 == 1
        asked = http.client.HTTPConnection(*target, timeout=20) if new else kept
        started = time.monotonic()
        try:
            asked.request("POST", "/v1/predict", _BODY, {"Content-Type": "application/json"})
            response = asked.getresponse()
            response.read()
            status = str(response.status)
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
            asked.close()
        found.append((status, time.monotonic() - started))
        if new:
            asked.close()
        due = max(due + _INTERVAL, time.monotonic())
    kept.close()
    return found
