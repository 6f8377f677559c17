"""`k3s secrets-encrypt …`: K3s's own client of the supervisor, with its texts."""
import base64
import hashlib
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import say

TIMEOUT, TIMEOUT_ROTATE_KEYS = 10, 130
DONE = {"enable": "secrets-encryption enabled", "disable": "secrets-encryption disabled",
        "prepare": "prepare completed successfully", "rotate": "rotate completed successfully",
        "reencrypt": "reencryption started", "rotate-keys": "keys rotated, reencryption finished"}
STAGES = {"prepare": "prepare", "rotate": "rotate", "reencrypt": "reencrypt_active", "rotate-keys": "rotate_keys"}
ORDER = ("stage", "activekey", "enable", "hashmatch", "hasherror", "inactivekeys")


class ClientError(Exception):
    """The supervisor said no or did not answer."""


class Client:
    """The supervisor, trusted by the CA's hash in the token."""

    def __init__(self, url, token):
        self.url, self.password = url.rstrip("/"), token.rpartition("::")[2].partition(":")[2] or token
        settings = ssl.create_default_context()
        settings.check_hostname, settings.verify_mode = False, ssl.CERT_NONE
        self.context = settings
        ca = self._call("GET", "/cacerts", None, TIMEOUT)
        if token.startswith("K10") and token[3:].partition("::")[0] != hashlib.sha256(ca).hexdigest():
            raise ClientError("token CA hash does not match the Cluster CA certificate hash")
        self.context = ssl.create_default_context(cadata=ca.decode())

    def _call(self, method, path, body, timeout):
        request = urllib.request.Request(self.url + path, data=body, method=method)
        login = base64.b64encode(f"server:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=self.context))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise ClientError(_message(error)) from error
        except TimeoutError as error:
            raise ClientError(f'{method.title()} "{self.url}{path}": context deadline exceeded (Client.Timeout '
                              "exceeded while awaiting headers)") from error
        except OSError as error:
            raise ClientError(f'{method.title()} "{self.url}{path}": {getattr(error, "reason", error)}') from error

    def call(self, method, what, body=None, timeout=TIMEOUT):
        data = json.dumps(body).encode() if body is not None else None
        return self._call(method, f"/v1-k3s/{what}", data, timeout)


def _message(error):
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


def status_text(state):
    if state.get("enable") is None:
        return "Encryption Status: Disabled, no configuration file found"
    rows = [(" *", state["activekey"])] if state["activekey"] else []
    rows += [("", key) for key in state.get("inactivekeys") or []]
    split = [(mark, *key.partition(" ")[::2]) for mark, key in rows]
    width = max([len("Key Type"), *(len(kind) for _, kind, _ in split)]) + 2
    lines = [f"Encryption Status: {'Enabled' if state['enable'] else 'Disabled'}",
             f"Current Rotation Stage: {state['stage']}",
             "Server Encryption Hashes: " + ("All hashes match" if state.get("hashmatch") else state["hasherror"]), ""]
    for mark, kind, name in [("Active", "Key Type", "Name"), ("------", "--------", "----"), *split]:
        lines.append(f"{mark:<8}{kind:<{width}}{name}")
    return "\n".join(lines) + "\n"


def _body(given):
    if given.subcommand in ("enable", "disable"):
        return {"enable": given.subcommand == "enable", "force": False, "skip": False}
    return {"stage": STAGES[given.subcommand], "force": getattr(given, "force", False),
            "skip": getattr(given, "skip", False)}


def _run(given):
    token = given.token or os.environ.get("K3S_TOKEN")
    if not token:
        token = (Path(given.data_dir) / "server" / "token").read_text().rstrip("\n")
    client = Client(given.server or os.environ.get("K3S_URL") or "https://127.0.0.1:6443", token)
    if given.subcommand == "status":
        state = json.loads(client.call("GET", "encrypt/status"))
        if given.output == "json":
            print(json.dumps({k: state[k] for k in ORDER if k in state}, indent="\t"))
        else:
            print(status_text(state))
        return
    timeout = TIMEOUT_ROTATE_KEYS if given.subcommand == "rotate-keys" else TIMEOUT
    client.call("PUT", "encrypt/config", _body(given), timeout)
    print(DONE[given.subcommand])


def run(given):
    try:
        _run(given)
    except ClientError as error:
        say.fatal(f"Error: see server log for details: {error}")
        return 1
    except OSError as error:
        say.fatal(f"Error: {error}")
        return 1
    return 0
