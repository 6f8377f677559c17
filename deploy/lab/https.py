"""A small keep-alive HTTPS client: one connection a thread, JSON in and out."""
import http.client
import json
import socket
import ssl
import threading
from urllib.parse import urlsplit


class Unreachable(Exception):
    """No connection came about: the request was certainly not carried out."""


class Broken(Exception):
    """The connection broke or timed out after the request was sent: it may have been carried out."""


def context(ca, cert=None, key=None):
    """TLS settings: trusts `ca` alone, shows a client certificate when given."""
    settings = ssl.create_default_context(cafile=str(ca))
    if cert:
        settings.load_cert_chain(str(cert), str(key))
    return settings


class Lines:
    """An answer that goes on, line by line, on a connection of its own, until close(), from any thread."""

    def __init__(self, client, method, path, body):
        self.closed = False
        self.connection = http.client.HTTPSConnection(client.host, client.port, context=client.tls,
                                                      timeout=client.timeout)
        try:
            self.connection.request(method, path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            self.answer = self.connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Unreachable(f"{client.url}: {error}") from error
        self.connection.sock.settimeout(None)

    def __iter__(self):
        """Ends with close(); Broken when it ends otherwise."""
        while True:
            try:
                line = self.answer.readline()
            except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
                line = None if self.closed else error
            if self.closed:
                return
            if not isinstance(line, bytes) or not line:
                raise Broken(f"the answer ended: {line}")
            yield json.loads(line)

    def close(self):
        self.closed = True
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)


class Client:
    """Requests to one server. Thread-safe."""

    def __init__(self, url, tls, headers=None, timeout=30):
        parts = urlsplit(url)
        self.url, self.host, self.port = url, parts.hostname, parts.port
        self.tls, self.headers, self.timeout = tls, dict(headers or {}), timeout
        self._local = threading.local()

    def close(self):
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection:
            connection.close()

    def _connect(self, timeout):
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=timeout)
        try:
            connection.connect()
        except (OSError, ssl.SSLError) as error:
            connection.close()
            raise Unreachable(f"{self.url}: {error}") from error
        self._local.connection = connection
        return connection

    def raw(self, method, path, body=None, content_type="application/json", timeout=None, accept="application/json"):
        """(status, bytes). A GET on a connection that the server had closed meanwhile is sent once more."""
        timeout = timeout or self.timeout
        headers = {"Accept": accept, **self.headers}
        if body is not None:
            headers["Content-Type"] = content_type
        while True:
            connection = getattr(self._local, "connection", None)
            reused = connection is not None
            if not reused:
                connection = self._connect(timeout)
            connection.sock.settimeout(timeout)
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.close()
                return answer.status, data
            except (OSError, http.client.HTTPException, AttributeError) as error:
                self.close()
                timed_out = isinstance(error, (socket.timeout, TimeoutError))
                if reused and method == "GET" and not timed_out:
                    continue
                raise Broken(f"{method} {self.url}{path}: {error or type(error).__name__}") from error

    def json(self, method, path, body=None, **more):
        """(status, decoded JSON or text); a dict as body is sent as JSON."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        status, data = self.raw(method, path, body, **more)
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode(errors="replace")
