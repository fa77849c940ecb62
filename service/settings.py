"""The settings, read once from the environment; an invalid value prevents the start."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import model
from model import ConfigError
from model.engines import BATCH_SIZE, EngineChoice, available_cpus
from model.explain import MAX_UNITS
from service.api_keys import read_keys

SHIPPED_MODEL = Path(model.__file__).parent / "artifacts" / "zh-general"
ENVIRONMENT_PREFIX = "SENTIMENT_"
# Directory of the corpora for training and evaluation.
DATA_VARIABLE = "SENTIMENT_DATA"
# Upper bound of max_items: each item is checked by itself before the engine sees any.
MAX_BATCH_ITEMS = 1024

# Adapters for the protocols of other services: service/routes/compat/.
AdapterName = Literal["paddlehub", "baidu", "tei", "oip"]

LogFormat = Literal["auto", "json", "text"]


def _separated(value: object) -> object:
    """Split a comma-separated string; leave anything else to the field."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


class Settings(BaseSettings):
    """Settings of the service, each read from ``SENTIMENT_`` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True)

    host: Annotated[str, Field(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    ] = 8000
    probe_port: Annotated[
        int,
        Field(
            ge=0,
            le=65535,
            description="Extra port with `/livez`, `/readyz` and `/metrics`; 0 opens none.",
        ),
    ] = 0
    public_metrics: Annotated[
        bool, Field(description="Whether the main port answers `/metrics`, too.")
    ] = True
    api_keys_file: Annotated[
        Path | None,
        Field(description="File of API keys, by name and hash; without it no key is required."),
    ] = None
    rate_limit: Annotated[
        str | None,
        Field(
            pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$",
            description="Maximum rate per key and worker, such as `600/minute`; "
            "beyond it requests get 429.",
        ),
    ] = None
    allowed_hosts: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|(\*\.)?[\w.-]+|\[[0-9A-Fa-f:.]+\])$")], ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(
            description="Names accepted in `Host`, comma-separated; `*.` matches subdomains, `*` "
            "any name. Unset: any name, or this machine's own when listening on loopback only."
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(description="Origins allowed to call the API (CORS), comma-separated; `*` is any."),
    ] = ()
    model: Annotated[
        Path,
        Field(description="Directory of the default artifact."),
    ] = SHIPPED_MODEL
    models: Annotated[
        tuple[Path, ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(
            description="Directories of further artifacts that a request may name, comma-separated."
        ),
    ] = ()
    user_words: Annotated[
        FilePath | None, Field(description="File of Chinese words never to split, one per line.")
    ] = None
    extra_stopwords: Annotated[
        FilePath | None, Field(description="File of additional stopwords, one per line.")
    ] = None
    kept_words: Annotated[
        FilePath | None,
        Field(description="File of words to keep despite the stopword list, one per line."),
    ] = None
    engine: Annotated[
        EngineChoice,
        Field(description="`onnx` or `torch`; `auto` is `onnx` if the artifact has it."),
    ] = "auto"
    threads: Annotated[
        int,
        Field(
            ge=0,
            le=1024,
            description="Concurrent inferences per worker; 0 divides the CPUs among the workers.",
        ),
    ] = 0
    workers: Annotated[
        int, Field(ge=1, le=256, description="Worker processes, each with its own model and queue.")
    ] = 1
    max_text_characters: Annotated[
        int,
        Field(ge=1, description="Maximum length of a text, in code points; a longer one is a 413."),
    ] = 10_000
    max_items: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_BATCH_ITEMS,
            description="Maximum items per batch (422) and sentences per text (413).",
        ),
    ] = 256
    max_explained_units: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum parts of an explanation: the tokens of a text or, if it has "
            "more, as many clauses. Each costs a reading.",
        ),
    ] = MAX_UNITS
    max_body_bytes: Annotated[
        int,
        Field(ge=1, description="Maximum size of a request body, in bytes; a larger one is a 413."),
    ] = 2 * 1024 * 1024
    max_inflight_body_bytes: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum total size of in-flight request bodies per worker, in bytes; "
            "beyond it requests get 429.",
        ),
    ] = 64 * 1024 * 1024
    max_batch_texts: Annotated[
        int, Field(ge=1, description="Maximum texts, or windows of long ones, per engine run.")
    ] = BATCH_SIZE
    max_queue_texts: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum texts waiting or running per model; beyond it requests get 429.",
        ),
    ] = 2048
    max_queue_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="Maximum expected seconds in the queue; beyond it requests get 429.",
        ),
    ] = 0.5
    deadline_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="Seconds to receive a head, then a body (408), then to answer (504).",
        ),
    ] = 5.0
    stream_idle_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="Seconds that a streaming client may neither send nor read.",
        ),
    ] = 60.0
    drain_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="Seconds between SIGTERM and closing, so a load balancer notices.",
        ),
    ] = 0.0
    keep_alive_seconds: Annotated[
        int, Field(ge=0, description="Seconds that an idle connection stays open.")
    ] = 5
    max_connections: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="Maximum connections per worker; beyond it the longest idle one is closed.",
        ),
    ] = 4096
    root_path: Annotated[
        str, Field(pattern=r"^(/[\w.~-]+)*$", description="Path prefix that a proxy strips.")
    ] = ""
    forwarded_allow_ips: Annotated[
        str, Field(description="Proxies whose forwarded headers are trusted, comma-separated.")
    ] = "127.0.0.1"
    compat: Annotated[
        tuple[AdapterName, ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(
            description="Adapters to enable, comma-separated: `paddlehub`, `baidu`, `tei`, `oip`."
        ),
    ] = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="Lowest level that is logged."),
    ] = "info"
    log_format: Annotated[
        LogFormat,
        Field(description="`json`, `text`, or `auto`: text on a terminal, JSON elsewhere."),
    ] = "auto"

    @property
    def threads_per_worker(self) -> int:
        """Concurrent inferences in one worker."""
        return self.threads or max(1, available_cpus() // self.workers)

    @model_validator(mode="after")
    def _keys_can_be_read(self) -> "Settings":
        if self.api_keys_file:
            read_keys(self.api_keys_file)
        elif self.rate_limit:
            raise ValueError(
                "SENTIMENT_RATE_LIMIT is per key, but SENTIMENT_API_KEYS_FILE is not set; set it "
                "or unset the limit"
            )
        return self

    @model_validator(mode="after")
    def _metrics_are_somewhere(self) -> "Settings":
        if not self.public_metrics and not self.probe_port:
            raise ValueError(
                "SENTIMENT_PUBLIC_METRICS is off and SENTIMENT_PROBE_PORT is not set, so nothing "
                "would serve /metrics; set the port or turn public metrics on"
            )
        return self

    @model_validator(mode="after")
    def _a_body_fits_those_in_flight(self) -> "Settings":
        if self.max_body_bytes > self.max_inflight_body_bytes:
            raise ValueError(
                f"SENTIMENT_MAX_BODY_BYTES is {self.max_body_bytes} and "
                f"SENTIMENT_MAX_INFLIGHT_BODY_BYTES is {self.max_inflight_body_bytes}, so the "
                "largest body would never be admitted; raise the second"
            )
        return self

    @model_validator(mode="after")
    def _a_batch_fits_the_queue(self) -> "Settings":
        if self.max_items > self.max_queue_texts:
            raise ValueError(
                f"SENTIMENT_MAX_ITEMS is {self.max_items} and SENTIMENT_MAX_QUEUE_TEXTS is "
                f"{self.max_queue_texts}, so a full batch would never be admitted; raise the queue "
                "limit"
            )
        return self


def unknown_variables() -> list[str]:
    """Return environment variables with the prefix that no setting has: misspelt, perhaps."""
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(
        name
        for name in os.environ
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known | {DATA_VARIABLE}
    )


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; arguments that are not ``None`` take precedence.

    Raises:
        ConfigError: a value is invalid; the message names its variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:
            raise ConfigError(first["msg"].removeprefix("Value error, ")) from None
        name = ENVIRONMENT_PREFIX + str(first["loc"][0]).upper()
        raise ConfigError(
            f"{name} is {first['input']!r}: {first['msg'].lower()}; set a valid value or unset it"
        ) from None
