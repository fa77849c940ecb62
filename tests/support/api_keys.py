"""Keys, and requests that carry them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient

from service.api_keys import new_key
from tests.support.texts import TEXT

TODAY = datetime.now(UTC).date()
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
SHOP, SHOP_LINE = new_key("shop", TOMORROW)
DESK, DESK_LINE = new_key("desk", None)
OLD, OLD_LINE = new_key("old", YESTERDAY)
FILE = f"# who may ask\n{SHOP_LINE}\n\n  {DESK_LINE}  # the front desk\n{OLD_LINE}\n"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def predict(client: TestClient, **headers: str) -> Any:
    return client.post("/v1/predict", json={"text": TEXT}, headers=headers)
