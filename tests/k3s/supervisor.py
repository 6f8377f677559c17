"""The supervisor's HTTPS endpoints, on a port of its own here (K3s has the API server on the same one)."""
import base64
import hmac
import json
import secrets
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bootstrap
import etcd
import https
import kube
import say
import stages

SLEEP = 1  # seconds before the answer to a change, as in K3s
BODY_MAX = 64 * 1024
REASONS = {400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed", 500: "InternalError",
           503: "ServiceUnavailable"}
ERRORS = (stages.StageError, stages.encryption_config.ConfigError, kube.KubeError, https.Unreachable, https.Broken,
          etcd.EtcdError, OSError, ValueError, KeyError, IndexError)


class Handler(BaseHTTPRequestHandler):
    """One request. `self.server.node` is the server it is about."""

    protocol_version = "HTTP/1.1"
    timeout = 300

    def log_message(self, *_):
        pass

    def _answer(self, code, body, kind="application/json"):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, code, text):
        say.error(f"Sending HTTP/1.1 {code} response to {self.client_address[0]}:{self.client_address[1]}: {text}")
        message = f"Internal error occurred: {text}" if code == 500 else text
        self._answer(code, json.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                       "message": message, "reason": REASONS[code], "code": code}) + "\n")

    def _fail_with_id(self, code, error):
        number = secrets.randbelow(99999)
        say.error(f"secret-encrypt error ID {number:05d}: {error}")
        self._fail(code, f"secret-encrypt error ID {number:05d}")

    def _is_server(self):
        """Basic authentication as user `server` with the token's password part."""
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True) if kind == "Basic" else b""
        except ValueError:
            given = b""
        if hmac.compare_digest(given, f"server:{self.server.password}".encode()):
            return True
        self._fail(401, "Unauthorized")
        return False

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/ping":
            self._answer(200, "pong", "text/plain")
        elif path == "/cacerts":
            self._answer(200, self.server.ca, "text/plain")
        elif path in ("/readyz", "/v1-k3s/readyz", "/v1-rke2/readyz"):
            if self.server.stages():
                self._answer(200, "ok", "text/plain")
            else:
                self._fail(500, "apiserver not ready")
        elif path in ("/v1-k3s/encrypt/status", "/v1-rke2/encrypt/status"):
            if self._is_server():
                self._status()
        elif path in ("/v1-k3s/server-bootstrap", "/v1-rke2/server-bootstrap"):
            if self._is_server():
                self._bootstrap()
        else:
            self._fail(404, "the server could not find the requested resource")

    def _bootstrap(self):
        """What a joining server asks for. From the disk, as in older releases: newer ones ask the datastore first."""
        try:
            self._answer(200, json.dumps(bootstrap.read_disk(self.server.paths)))
        except OSError as error:
            self._fail(500, str(error))

    def do_PUT(self):
        length = int(self.headers.get("Content-Length", "0") or "0")
        if length > BODY_MAX:
            self.close_connection = True
            self._fail(400, "the body is too long")
            return
        body = self.rfile.read(length)
        if self.path not in ("/v1-k3s/encrypt/config", "/v1-rke2/encrypt/config"):
            self._fail(404, "the server could not find the requested resource")
        elif self._is_server():
            self._change(body)

    def do_POST(self):
        self.close_connection = True
        self._fail(405, "method not allowed")

    def _status(self):
        found = self.server.stages()
        if not found:
            self._fail_with_id(500, self.server.why_not())
            return
        try:
            state = found.status()
        except ERRORS as error:
            self._fail_with_id(500, error)
            return
        self._answer(200, json.dumps(state, separators=(",", ":")))

    def _change(self, body):
        found = self.server.stages()
        if not found:
            self._fail(503, self.server.why_not())
            return
        try:
            wanted = json.loads(body)
        except ValueError as error:
            self._fail(400, str(error))
            return
        if not isinstance(wanted, dict):
            self._fail(400, "json: cannot unmarshal into Go value of type handlers.EncryptionRequest")
            return
        try:
            found.request(wanted)
        except ERRORS as error:
            self._fail_with_id(400, error)
            return
        time.sleep(SLEEP)
        self._answer(200, "")


class Supervisor(ThreadingHTTPServer):
    """Serves from the start; refuses what it cannot do before `stages` returns something."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, port, paths, password, stages_of, why_not):
        super().__init__((address, port), Handler)
        self.paths, self.password, self.stages, self.why_not = paths, password, stages_of, why_not
        self.ca = paths.server_ca.read_bytes()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*map(str, paths.serving))

    def finish_request(self, request, client_address):
        request.settimeout(10)  # for the handshake, in this request's own thread
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that went away

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
