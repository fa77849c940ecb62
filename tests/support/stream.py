"""What requests of a stream are made of."""

import json

from service.routes.stream import MEDIA_TYPES
from tests.support.texts import TEXT

PATH = "/v1/predict/stream"
NDJSON = {"content-type": MEDIA_TYPES[0]}
LINE = json.dumps({"text": TEXT}, ensure_ascii=False).encode() + b"\n"
