"""nginx and Caddy as deploy/ configures them: TLS, limits, and streams in both directions."""

import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection
from typing import Any

import httpx2
import pytest

from service.routes.stream import MEDIA_TYPES
from service.settings import Settings
from tests.support.clock import wait_for
from tests.support.http import wait_ready
from tests.support.process import free_port, served
from tests.support.repository import read
from tests.support.stream import LINE, PATH

pytestmark = pytest.mark.process

NAME = "sentiment.example.com"
UPSTREAM = "127.0.0.1:8000"
NGINX_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx(directory: Path, port: int, upstream: str) -> list[str]:
    """Write our configuration with other addresses, and return the command that runs it."""
    shipped = read("deploy/nginx/sentiment.conf")
    for old, new in {
        UPSTREAM: upstream,
        "listen 443": f"listen 127.0.0.1:{port}",
        "    listen [::]:443 ssl http2;\n": "",
        f"/etc/ssl/{NAME}": str(directory / "certificate"),
    }.items():
        assert old in shipped, old
        shipped = shipped.replace(old, new)
    folders = "".join(f"{name}_temp_path {directory / name};\n" for name in NGINX_FOLDERS)
    path = directory / "nginx.conf"
    path.write_text(
        f"daemon off;\npid {directory / 'pid'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{shipped}}}\n",
        encoding="utf-8",
    )
    return ["nginx", "-c", str(path), "-p", str(directory), "-e", str(directory / "log")]


def caddy(directory: Path, port: int, upstream: str) -> list[str]:
    """Write our configuration with other addresses, and return the command that runs it."""
    shipped = read("deploy/caddy/Caddyfile")
    certificate = f"tls {directory / 'certificate.pem'} {directory / 'certificate.key'}"
    for old, new in {
        UPSTREAM: upstream,
        f"\n{NAME} {{": f"\n{NAME}:{port} {{\n\t{certificate}",
    }.items():
        assert old in shipped, old
        shipped = shipped.replace(old, new)
    path = directory / "Caddyfile"
    test_only = "{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}\n"
    path.write_text(test_only + shipped, encoding="utf-8")
    return ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


COMMANDS = {"nginx": nginx, "caddy": caddy}


@dataclass
class Proxy:
    port: int
    context: ssl.SSLContext

    def post(self, path: str, **arguments: Any) -> httpx2.Response:
        headers = {"host": NAME, **arguments.pop("headers", {})}
        with httpx2.Client(verify=self.context, timeout=60) as client:
            return client.post(
                f"https://127.0.0.1:{self.port}{path}",
                headers=headers,
                extensions={"sni_hostname": NAME},
                **arguments,
            )

    def connect(self) -> ssl.SSLSocket:
        plain = create_connection(("127.0.0.1", self.port), timeout=60)
        return self.context.wrap_socket(plain, server_hostname=NAME)

    def stream(self) -> subprocess.Popen[bytes]:
        """Start a stream over HTTP/2: its lines go in at standard input, replies come out."""
        node = shutil.which("node")
        if node is None:
            pytest.skip("no node on this machine, and no other client streams over HTTP/2")
        command = [node, "--input-type=module", "--eval", STREAM, "--", str(self.port), NAME]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


STREAM = f"""
import {{ connect }} from "node:http2";
const [port, name] = process.argv.slice(1);
const lookup = (_name, _options, done) => done(null, [{{ address: "127.0.0.1", family: 4 }}]);
const options = {{ lookup, rejectUnauthorized: false }};
const session = connect(`https://${{name}}:${{port}}`, options);
const headers = {{ ":method": "POST", ":path": "{PATH}", "content-type": "{MEDIA_TYPES[0]}" }};
const stream = session.request(headers);
process.stdin.pipe(stream);
stream.pipe(process.stdout);
stream.on("close", () => session.close());
"""


@contextmanager
def behind(kind: str, directory: Path, upstream: str) -> Iterator[Proxy]:
    """Run a proxy with a certificate of its own in front of a service."""
    binary = shutil.which(kind) or shutil.which(kind, path="/usr/sbin")
    if binary is None or shutil.which("openssl") is None:
        pytest.skip(f"no {kind} or no openssl on this machine; Debian has packages of these names")
    certificate = directory / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}", "-out", str(certificate)),
            *("-keyout", str(directory / "certificate.key")),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    _, *arguments = COMMANDS[kind](directory, port, upstream)
    environment = os.environ | {"XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen([binary, *arguments], stderr=output, env=environment)
    proxy = Proxy(port, ssl.create_default_context(cafile=certificate))

    def listens() -> bool:
        assert process.poll() is None, (directory / "output").read_text(encoding="utf-8")
        try:
            proxy.connect().close()
        except OSError:
            return False
        return True

    try:
        wait_for(listens)
        yield proxy
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module", params=list(COMMANDS))
def proxy(
    request: pytest.FixtureRequest,
    tiny_artifact: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp(request.param)
    settings = {"SENTIMENT_ALLOWED_HOSTS": NAME, "SENTIMENT_KEEP_ALIVE_SECONDS": "75"}
    with served(tiny_artifact, directory / "service.log", **settings) as (_, address):
        wait_ready(address)
        with behind(request.param, directory, address.removeprefix("http://")) as running:
            yield running


def test_a_text_is_answered_over_tls(proxy: Proxy) -> None:
    reply = proxy.post("/v1/predict", json={"text": "房间很好"})
    assert reply.status_code == 200
    assert reply.json()["label"] == "positive"


def test_a_body_over_the_limit_gets_the_services_own_refusal(proxy: Proxy) -> None:
    body = b"a" * (Settings().max_body_bytes + 1)
    reply = proxy.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 413
    assert reply.headers["content-type"] == "application/problem+json"


def test_metrics_are_not_for_clients(proxy: Proxy) -> None:
    assert proxy.post("/metrics").status_code == 404


def test_each_line_of_a_long_stream_is_answered_before_the_next_is_sent(proxy: Proxy) -> None:
    unreadable = b'"%b"\n' % (b"a" * 60_000)
    lines = [LINE, *([unreadable] * 60), LINE]
    assert sum(map(len, lines)) > 3 << 20  # more than a body may have
    with proxy.stream() as stream:
        assert stream.stdin
        assert stream.stdout
        for line in lines:
            stream.stdin.write(line)
            stream.stdin.flush()
            expected = "label" if line == LINE else "error"
            assert expected in json.loads(stream.stdout.readline())
        stream.stdin.close()
        summary = json.loads(stream.stdout.readline())["summary"]
    assert (summary["answered"], summary["failed"]) == (2, 60)


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("kind", list(COMMANDS))
def test_a_client_cannot_say_that_it_is_another(kind: str, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with behind(kind, tmp_path, f"127.0.0.1:{server.server_port}") as proxy:
                claimed = {"x-forwarded-for": "203.0.113.9"}
                passed_on = proxy.post("/v1/predict", json={}, headers=claimed).json()
        finally:
            server.shutdown()
    assert passed_on["x-forwarded-for"] == "127.0.0.1"
    assert passed_on["x-forwarded-proto"] == "https"
    assert passed_on["host"].partition(":")[0] == NAME
