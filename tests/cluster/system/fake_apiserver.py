#!/usr/bin/python3
"""A stand-in for kube-apiserver, for tests that are about the state store: it is started with kube-apiserver's
arguments, is ready, and has no objects. What it is told to write is said to be written and forgotten."""
import json
import signal
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESOURCES = {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
    {"name": "secrets", "singularName": "", "namespaced": True, "kind": "Secret",
     "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]}]}
STOP = threading.Event()


def empty_list(accept):
    """No Secrets, in the form that was asked for."""
    kind = next((k for k in ("Table", "PartialObjectMetadataList") if f"as={k}" in accept), "SecretList")
    return {"kind": kind, "apiVersion": "v1" if kind == "SecretList" else "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "1"}, "columnDefinitions": [], "rows": [], "items": []}


class Handler(BaseHTTPRequestHandler):
    """Answers as an API server without objects does."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """The tests look at what our programs say."""

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path in ("/readyz", "/livez", "/healthz"):
            return self.answer(200, b"ok", "text/plain")
        if path == "/api/v1":
            return self.answer(200, RESOURCES)
        if "watch=" in query:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            return STOP.wait(60)
        if path.endswith("/secrets"):
            return self.answer(200, empty_list(self.headers.get("Accept", "")))
        if path == "/version":
            return self.answer(200, {"major": "1", "minor": "20", "gitVersion": "v1.20.0"})
        return self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                                 "code": 404})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                          "code": 404})

    do_DELETE = do_PATCH = do_PUT = do_POST


class Server(ThreadingHTTPServer):
    """Speaks TLS, shaken in the connection's own thread."""

    daemon_threads = True
    request_queue_size = 64
    tls = None

    def finish_request(self, request, client_address):
        try:
            with self.tls.wrap_socket(request, server_side=True) as connection:
                super().finish_request(connection, client_address)
        except OSError:
            pass  # whoever it was has gone

    def handle_error(self, *_):  # pylint: disable=arguments-differ
        """The same."""


def main(argv):
    flags = dict(a.lstrip("-").split("=", 1) for a in argv[1:] if "=" in a)
    if "--version" in argv:
        print("a stand-in")
        return 0
    with open(flags["encryption-provider-config"], "rb") as config:
        config.read()
    server = Server((flags["bind-address"], int(flags["secure-port"])), Handler)
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
