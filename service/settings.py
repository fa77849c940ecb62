"""The settings, read once from the environment; a bad value refuses to start."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import model
from model.engines import BATCH_SIZE, EngineChoice, available_cpus
from model.errors import ConfigError
from service.api_keys import read_keys

SHIPPED_MODEL = Path(model.__file__).parent / "artifacts" / "zh-general"
ENVIRONMENT_PREFIX = "SENTIMENT_"
# Where the corpora are, for training and evaluation.
DATA_VARIABLE = "SENTIMENT_DATA"
# Items of a batch are checked one by one before the engine sees them, so there is a hard bound.
MAX_BATCH_ITEMS = 1024

# Other services whose protocols can be spoken: service/routes/compat_*.py.
AdapterName = Literal["paddlehub", "baidu", "tei", "oip"]


def _separated(value: object) -> object:
    """The parts of a comma-separated text; anything else is left to the field."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


class Settings(BaseSettings):
    """Each is read from the environment under ``SENTIMENT_`` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True)

    host: Annotated[str, Field(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    probe_port: Annotated[
        int,
        Field(
            ge=0,
            le=65535,
            description="Further port with `/livez`, `/readyz` and `/metrics`; 0 is none.",
        ),
    ] = 0
    public_metrics: Annotated[
        bool, Field(description="Whether `/metrics` is on the main port, not on that one alone.")
    ] = True
    api_keys_file: Annotated[
        Path | None,
        Field(description="File of the keys that requests need, by name and hash; none asks none."),
    ] = None
    rate_limit: Annotated[
        str | None,
        Field(
            pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$",
            description="Most requests of a key in a worker, as in `600/minute`; beyond it a 429.",
        ),
    ] = None
    allowed_hosts: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|(\*\.)?[\w.-]+|\[[0-9A-Fa-f:.]+\])$")], ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(
            description="Names that `Host` may hold, comma-separated; `*.` before one is all below "
            "it, `*` any. None: any, or those of this machine where it listens to it alone."
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(description="Origins whose pages may ask, comma-separated; `*` is any."),
    ] = ()
    model: Annotated[
        Path,
        Field(description="Directory of the artifact to serve, unless a request names another."),
    ] = SHIPPED_MODEL
    models: Annotated[
        tuple[Path, ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(description="Further artifacts, which a request may name; comma-separated."),
    ] = ()
    user_words: Annotated[
        FilePath | None, Field(description="File of Chinese words to cut whole, one a line.")
    ] = None
    extra_stopwords: Annotated[
        FilePath | None, Field(description="File of further words to drop, one a line.")
    ] = None
    kept_words: Annotated[
        FilePath | None, Field(description="File of words not to drop, one a line.")
    ] = None
    engine: Annotated[
        EngineChoice,
        Field(description="`onnx` or `torch`; `auto` is onnx where the artifact holds it."),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0, le=1024, description="Inferences at a time in a worker; 0: one a processor."),
    ] = 0
    workers: Annotated[
        int, Field(ge=1, le=256, description="Processes that answer, each with model and queue.")
    ] = 1
    max_text_characters: Annotated[
        int, Field(ge=1, description="Longest text, in code points; a longer one is a 413.")
    ] = 10_000
    max_items: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_BATCH_ITEMS,
            description="Most items of a batch (422), and sentences of a text (413).",
        ),
    ] = 256
    max_explained_tokens: Annotated[
        int,
        Field(ge=1, description="Most tokens, or ids they are read as, of a text to explain."),
    ] = 128
    max_body_bytes: Annotated[
        int, Field(ge=1, description="Largest request body, in bytes; a larger one is a 413.")
    ] = 2 * 1024 * 1024
    max_inflight_body_bytes: Annotated[
        int,
        Field(ge=1, description="Most bytes of bodies under way in a worker; beyond it is a 429."),
    ] = 64 * 1024 * 1024
    max_batch_texts: Annotated[
        int, Field(ge=1, description="Most texts, or windows of long ones, read together.")
    ] = BATCH_SIZE
    max_queue_texts: Annotated[
        int, Field(ge=1, description="Most texts waiting or running; beyond it is a 429.")
    ] = 2048
    max_queue_seconds: Annotated[
        float,
        Field(gt=0, le=3600, description="Longest expected wait in the queue; beyond it is a 429."),
    ] = 0.5
    deadline_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="Longest time for a head, for a body (408), and then to answer (504).",
        ),
    ] = 5.0
    stream_idle_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="Longest time that a client of a stream may neither send nor read.",
        ),
    ] = 60.0
    drain_seconds: Annotated[
        float,
        Field(ge=0, le=3600, description="Wait between SIGTERM and closing, for a balancer."),
    ] = 0.0
    keep_alive_seconds: Annotated[
        int, Field(ge=0, description="How long an idle connection is kept.")
    ] = 5
    max_connections: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="Most connections of a worker; beyond it the longest idle one is closed.",
        ),
    ] = 4096
    root_path: Annotated[
        str, Field(pattern=r"^(/[\w.~-]+)*$", description="Path prefix that a proxy strips.")
    ] = ""
    forwarded_allow_ips: Annotated[
        str, Field(description="Proxies whose forwarded headers count, comma-separated.")
    ] = "127.0.0.1"
    compat: Annotated[
        tuple[AdapterName, ...],
        NoDecode,
        BeforeValidator(_separated),
        Field(
            description="Protocols of others to speak too, comma-separated: `paddlehub`, `baidu`, "
            "`tei`, `oip`."
        ),
    ] = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least severe line logged.")
    ] = "info"

    @property
    def threads_per_worker(self) -> int:
        """Inferences at a time in one worker."""
        return self.threads or max(1, available_cpus() // self.workers)

    @model_validator(mode="after")
    def _keys_can_be_read(self) -> "Settings":
        if self.api_keys_file:
            read_keys(self.api_keys_file)
        elif self.rate_limit:
            raise ValueError(
                "SENTIMENT_RATE_LIMIT is for each key and SENTIMENT_API_KEYS_FILE names none; set "
                "the second or leave the first unset"
            )
        return self

    @model_validator(mode="after")
    def _metrics_are_somewhere(self) -> "Settings":
        if not self.public_metrics and not self.probe_port:
            raise ValueError(
                "SENTIMENT_PUBLIC_METRICS is off and SENTIMENT_PROBE_PORT names no other port, so "
                "nobody could read /metrics; set the second or leave the first unset"
            )
        return self

    @model_validator(mode="after")
    def _a_body_fits_those_in_flight(self) -> "Settings":
        if self.max_body_bytes > self.max_inflight_body_bytes:
            raise ValueError(
                f"SENTIMENT_MAX_BODY_BYTES is {self.max_body_bytes} and "
                f"SENTIMENT_MAX_INFLIGHT_BODY_BYTES is {self.max_inflight_body_bytes}, so the "
                "largest body would never be admitted; set the second higher"
            )
        return self

    @model_validator(mode="after")
    def _a_batch_fits_the_queue(self) -> "Settings":
        if self.max_items > self.max_queue_texts:
            raise ValueError(
                f"SENTIMENT_MAX_ITEMS is {self.max_items} and SENTIMENT_MAX_QUEUE_TEXTS is "
                f"{self.max_queue_texts}, so a full batch would never be admitted; set the queue "
                "higher"
            )
        return self


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none: misspelt, perhaps."""
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(
        name
        for name in os.environ
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known | {DATA_VARIABLE}
    )


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment; arguments that are not ``None`` win.

    Raises:
        ConfigError: names the variable and what is wrong with its value.
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
            f"{name} is {first['input']!r}: {first['msg'].lower()}; set it to a value that fits "
            "or leave it unset"
        ) from None


def settings_table() -> str:
    """Every setting as a Markdown table: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "the shipped model" if name == "model" else f"`{field.default}`"
        if field.default in ("", None, ()):
            default = "none"
        lines.append(f"| `{ENVIRONMENT_PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)
