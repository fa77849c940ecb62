"""The systems that are measured, and how each is started, watched and stopped."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from model.engines import available_cpus
from service.settings import SHIPPED_MODEL

_SYSTEMS = "bench.serving.systems"
_ROOT = Path(__file__).parents[2]
_REQUIREMENTS = _ROOT / "requirements"
# Where `make .venv/frameworks.installed` puts what does not go together with our own packages.
_FRAMEWORKS = _ROOT / ".venv/frameworks/bin/python"
_BODY = '{"text": "房间干净，服务也好，就是早餐太差"}'.encode()
_JSON = {"Content-Type": "application/json"}
_LONGEST_START = 180.0

_FASTAPI = ("fastapi", "uvicorn", "uvloop", "httptools")
_OUR_MODEL = ("numpy", "onnxruntime", "opencc", "pydantic", "rjieba", "safetensors")


@dataclass(frozen=True)
class System:
    """One row of the table.

    ``arguments`` go to the interpreter ``python``; the port follows the module, unless
    ``port_variable`` names an environment variable for it. ``folder_variables`` name those that
    hold its temporary folder. ``ready_path`` answers a GET with 200 once the system is ready; where
    it is empty, a request is tried instead. ``batch_path`` is empty where it takes no batches. With
    ``lists``, each body is a list of texts, be it of one. ``packages`` are installed with all that
    they require, and with those that a ``lock`` names. ``model`` is the directory of its weights,
    or a file in the temporary folder. ``patience`` multiplies the seconds of a round of batches,
    for systems that hardly finish one in that time. ``at_rest`` is how many processors it uses
    when it has nothing to do, at most.
    """

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    port_variable: str = ""
    folder_variables: tuple[str, ...] = ("TMPDIR",)
    ready_path: str = "/readyz"
    batch_path: str = "/v1/predict/batch"
    lists: bool = False
    patience: int = 1
    at_rest: float = 0.2
    packages: tuple[str, ...] = ()
    lock: Path | None = None
    model: Path | None = None


def ours(engine: str, **settings: str) -> System:
    """Our service with an engine, and its defaults but for the settings given."""
    return System(
        f"ours, {engine}",
        ("-m", "service", "serve"),
        {"SENTIMENT_ENGINE": engine, **settings},
        port_variable="SENTIMENT_PORT",
        packages=("torch",) if engine == "torch" else (),
        lock=_REQUIREMENTS / "serve.txt",
        model=SHIPPED_MODEL,
    )


ONNX = ours("onnx")
# Eight batches at a time are more than its queue takes by default.
TORCH = ours("torch", SENTIMENT_MAX_QUEUE_SECONDS="5")
EMPTY = System("empty FastAPI", ("-m", f"{_SYSTEMS}.empty"), packages=_FASTAPI)
TUTORIAL = System(
    "tutorial",
    ("-m", f"{_SYSTEMS}.tutorial"),
    packages=(*_FASTAPI, "jieba", "numpy", "torch"),
    model=SHIPPED_MODEL,
)
MOSEC = System(
    "mosec",
    ("-m", f"{_SYSTEMS}.mosec_service"),
    ready_path="",
    batch_path="",
    packages=("mosec", *_OUR_MODEL),
    model=SHIPPED_MODEL,
)
LITSERVE = System(
    "LitServe",
    ("-m", f"{_SYSTEMS}.litserve_service"),
    python=_FRAMEWORKS,
    ready_path="/health",
    batch_path="",
    packages=("litserve", *_OUR_MODEL),
    model=SHIPPED_MODEL,
    # Each of its workers looks for requests a thousand times a second.
    at_rest=0.2 * available_cpus(),
)
BENTOML = System(
    "BentoML",
    ("-m", "bentoml", "serve", f"{_SYSTEMS}.bentoml_service:Sentiment"),
    {"BENTOML_HOST": "127.0.0.1", "BENTOML_DO_NOT_TRACK": "True"},
    python=_FRAMEWORKS,
    port_variable="BENTOML_PORT",
    folder_variables=("TMPDIR", "BENTOML_HOME"),
    batch_path="/v1/predict",
    lists=True,
    packages=("bentoml", *_OUR_MODEL),
    model=SHIPPED_MODEL,
)
SNOWNLP = System("SnowNLP", ("-m", f"{_SYSTEMS}.snownlp_service"), packages=(*_FASTAPI, "snownlp"))


def _bert(name: str, size: str, precision: str, patience: int = 1) -> System:
    return System(
        name,
        ("-m", f"{_SYSTEMS}.bert", size, precision),
        patience=patience,
        packages=(*_FASTAPI, "numpy", "onnxruntime", "tokenizers"),
        model=Path(f"bert.{size}.{precision}.onnx"),
    )


BERT = _bert("BERT-base", "base", "fp32", patience=6)
BERT_INT8 = _bert("BERT-base, int8", "base", "int8", patience=6)
TRANSFORMER_12 = _bert("12 layers of 384, int8", "12x384", "int8", patience=2)
TRANSFORMER_4 = _bert("4 layers of 512, int8", "4x512", "int8", patience=2)
SYSTEMS = {
    system.name: system
    for system in (
        ONNX, TORCH, EMPTY, TUTORIAL, MOSEC, LITSERVE, BENTOML, SNOWNLP,
        TRANSFORMER_4, TRANSFORMER_12, BERT, BERT_INT8,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """Megabytes of a process and its children; PSS counts a shared page once in all."""

    rss: float
    pss: float


@dataclass(frozen=True)
class Counts:
    """What a process and its children have open."""

    descriptors: int
    threads: int


class Server:
    """A system that runs, from entering the context until it is ready to leaving it.

    ``seconds_to_ready`` is from spawning the process to its first success.
    """

    def __init__(self, system: System, directory: Path) -> None:
        """``directory`` is its temporary folder and keeps its log."""
        self.system = system
        self.seconds_to_ready = 0.0
        self._directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> "Server":
        environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("SENTIMENT_")},
            **self.system.environment,
            **dict.fromkeys(self.system.folder_variables, str(self._directory)),
        }
        arguments = [str(self.system.python), *self.system.arguments]
        if self.system.port_variable:
            environment[self.system.port_variable] = str(self.port)
        else:
            arguments.insert(3, str(self.port))
        log = self._directory / "server.log"
        started = time.perf_counter()
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                arguments, env=environment, stdout=file, stderr=file, start_new_session=True
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() - started > _LONGEST_START:
                self._stop()
                end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{self.system.name} does not become ready:\n{end}")
            time.sleep(0.01)
        self.seconds_to_ready = time.perf_counter() - started
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def memory(self) -> Memory:
        """What it holds now."""
        rss = pss = 0
        for process in self._processes():
            with suppress(OSError):  # it may end meanwhile
                rss += kibibytes(process / "status", "VmRSS:")
                pss += kibibytes(process / "smaps_rollup", "Pss:")
        return Memory(rss * 1024 / 1e6, pss * 1024 / 1e6)

    def counts(self) -> Counts:
        """What it has open now."""
        descriptors = threads = 0
        for process in self._processes():
            with suppress(OSError):  # it may end meanwhile
                descriptors += len(list((process / "fd").iterdir()))
                threads += len(list((process / "task").iterdir()))
        return Counts(descriptors, threads)

    def wait_idle(self) -> None:
        """Returns once it no longer works on what earlier requests left to do."""
        before = self.processor_seconds()
        while True:
            time.sleep(0.25)
            now = self.processor_seconds()
            if now - before < 0.25 * self.system.at_rest:
                return
            before = now

    def processor_seconds(self) -> float:
        """CPU time that it has used since it started, of all its processes together."""
        return sum(map(_seconds, self._processes()))

    def main_thread_seconds(self) -> float:
        """The part of it that the first threads of all processes used: the event loops."""
        return sum(_seconds(folder / "task" / folder.name) for folder in self._processes())

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            if self.system.ready_path:
                connection.request("GET", self.system.ready_path)
            else:
                connection.request("POST", "/v1/predict", _BODY, _JSON)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _processes(self) -> list[Path]:
        """The folders under ``/proc`` of the server and all that it started."""
        relations = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                _, parent, _, session, *_ = _stat(folder)
                relations[folder.name] = {parent, session}
        # BentoML's workers have sessions of their own, LitServe's outlive their parent.
        found = {str(self._process.pid)}
        while more := {name for name, to in relations.items() if name not in found and to & found}:
            found |= more
        return [Path("/proc", name) for name in found]

    def _stop(self) -> None:
        running = self._processes()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for folder in running:  # what has not ended by itself
            with suppress(ProcessLookupError):
                os.kill(int(folder.name), signal.SIGKILL)
        self._process.wait()


def _stat(process: Path) -> list[str]:
    """The fields of a process's ``stat`` after its name: state, parent, group, session, ..."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()


def _seconds(folder: Path) -> float:
    """CPU time of a process or thread; 0 once it has ended."""
    try:
        return sum(map(int, _stat(folder)[11:13])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def kibibytes(path: Path, field_name: str) -> int:
    """A line of a process's ``status`` or ``smaps_rollup``; 0 where it is missing."""
    for line in path.read_text().splitlines():
        if line.startswith(field_name):
            return int(line.split()[1])
    return 0
