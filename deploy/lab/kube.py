"""Kubernetes as the lab's users see it: Secrets through one API server, or through all of them."""
import base64
import concurrent.futures
import hashlib
import time
from urllib.parse import quote

import https

TOKEN_BYTES = 24
NAMESPACES = ("team-a", "team-b", "team-c")
WORKERS = 12


class KubeError(Exception):
    """The API server said no."""

    def __init__(self, method, path, status, answer):
        message = answer.get("message", answer) if isinstance(answer, dict) else answer
        super().__init__(f"{method} {path}: {status} {str(message)[:500]}")
        self.status = status


def secret_path(namespace, name="", resource="secrets"):
    return f"/api/v1/namespaces/{namespace}/{resource}" + (f"/{quote(name)}" if name else "")


def secret_object(name, data, resource_version=None):
    """A Secret with byte strings as data, as JSON."""
    metadata = {"name": name}
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque",
            "data": {k: base64.b64encode(v).decode() for k, v in data.items()}}


def secret_data(answer):
    return {k: base64.b64decode(v) for k, v in (answer.get("data") or {}).items()}


class Kube:
    """One API server. Thread-safe."""

    def __init__(self, name, url, ca, token, timeout=30):
        self.name = name
        self.http = https.Client(url, https.context(ca), {"Authorization": f"Bearer {token}"}, timeout)

    def call(self, method, path, body=None, **more):
        """The decoded answer; KubeError for anything but success."""
        status, answer = self.http.json(method, path, body, **more)
        if status >= 300:
            raise KubeError(method, path, status, answer)
        return answer

    def ready(self, timeout=5):
        """True, False, or None when it did not answer in time."""
        try:
            return self.http.raw("GET", "/readyz", timeout=timeout)[0] == 200
        except https.Unreachable as error:
            return None if "timed out" in str(error) else False
        except https.Broken as error:
            return None if "timed out" in str(error) else False

    def make_namespace(self, name):
        try:
            self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        except KubeError as error:
            if error.status != 409:
                raise

    def create_secret(self, namespace, name, data):
        return self.call("POST", secret_path(namespace), secret_object(name, data))

    def get_secret(self, namespace, name):
        return self.call("GET", secret_path(namespace, name))

    def update_secret(self, namespace, name, data, resource_version):
        return self.call("PUT", secret_path(namespace, name), secret_object(name, data, resource_version))

    def patch_secret(self, namespace, name, patch):
        return self.call("PATCH", secret_path(namespace, name), patch, content_type="application/merge-patch+json")

    def delete_secret(self, namespace, name):
        return self.call("DELETE", secret_path(namespace, name))

    def list(self, namespace=None, resource="secrets", page=500):
        """Every object of a namespace (None: of all), in pages, read from the datastore."""
        path = f"/api/v1/namespaces/{namespace}/{resource}" if namespace else f"/api/v1/{resource}"
        more = ""
        while True:
            answer = self.call("GET", f"{path}?limit={page}" + (f"&continue={quote(more)}" if more else ""))
            yield from answer.get("items") or []
            more = answer["metadata"].get("continue")
            if not more:
                return


def content(seed, number, size=1024):
    """The data of Secret `number`: about `size` bytes, the same for the same seed."""
    digest = hashlib.shake_256(f"{seed}/{number}".encode())
    return {"password": base64.b64encode(digest.digest(TOKEN_BYTES)), "blob": digest.digest(max(size - 64, 1))}


def place(number):
    """(namespace, name) of Secret `number`."""
    return NAMESPACES[number % len(NAMESPACES)], f"secret-{number:06d}"


def make_secrets(clients, seed, numbers, tick=None):
    """Creates Secrets, many at a time, spread over the servers. An answer that got lost is asked for again."""
    for namespace in NAMESPACES:
        clients[0].make_namespace(namespace)

    def make(number):
        namespace, name = place(number)
        for attempt in range(20):
            client = clients[(number + attempt) % len(clients)]
            try:
                client.create_secret(namespace, name, content(seed, number))
                return
            except KubeError as error:
                if error.status == 409:
                    return
                if error.status < 500 and error.status != 429:
                    raise
            except (https.Unreachable, https.Broken):
                pass
            time.sleep(0.1 * (attempt + 1))
        raise RuntimeError(f"secret {namespace}/{name} could not be made on any server")

    numbers = list(numbers)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        done = 0
        for _ in pool.map(make, numbers):
            done += 1
            if tick:
                tick(done, len(numbers))
    return len(numbers)


def read_all(client):
    """{(namespace, name): data} of every Secret, through one server; and what could not be read, as texts."""
    try:
        return {(o["metadata"]["namespace"], o["metadata"]["name"]): secret_data(o) for o in client.list()}, []
    except (KubeError, https.Unreachable, https.Broken) as error:
        return None, [f"{client.name}: list of all secrets: {error}"]


def read_errors(clients, seed, numbers):
    """Reads every Secret through every server and compares it with what was written; returns the errors.

    Where the list of all fails, each Secret is read by itself, so that the errors are counted one by one."""
    errors = []
    for client in clients:
        found, why = read_all(client)
        for number in numbers:
            where = place(number)
            try:
                data = found.get(where) if found is not None else secret_data(client.get_secret(*where))
            except (KubeError, https.Unreachable, https.Broken) as error:
                errors.append(f"{client.name}: {'/'.join(where)}: {error}")
                continue
            if data is None:
                errors.append(f"{client.name}: {'/'.join(where)}: is gone")
            elif data != content(seed, number):
                errors.append(f"{client.name}: {'/'.join(where)}: differs from what was written")
        errors += why
    return errors
