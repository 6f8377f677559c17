"""Bad input of every kind: one clear line that names the file, field or endpoint, an exit code that is not
zero, nothing written to disk or etcd, and never a key's value in the text."""
import base64
import copy
import hashlib
import json
import shutil
import socket
import subprocess
import threading
import unittest

import support
from support import files, labs, say
import certs

KEYS = {size: base64.b64encode(bytes(range(7, 7 + size))).decode() for size in (15, 16, 32, 33)}


def key(size=32, name="aescbckey"):
    return {"name": name, "secret": KEYS[size]}


def config(*providers, resources=("secrets",), **top):
    """An encryption config's JSON text."""
    return json.dumps({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
                       "resources": [{"resources": list(resources), "providers": list(providers)}], **top})


GOOD = config({"aescbc": {"keys": [key()]}}, {"identity": {}})

# name: (the file's text, words of which one has to stand in the line; None: no such file)
ENCRYPTION_CONFIGS = {
    "missing": (None, ["no such file", "missing", "not found"]),
    "empty": ("", ["empty"]),
    "truncated": (GOOD[:-20], ["line", "end", "truncated", "unexpected", "json"]),
    "not UTF-8": (GOOD.replace("aescbckey", "aes\udcffkey"), ["utf-8"]),
    "wrong shape": ('["secrets"]', ["object", "mapping"]),
    "another kind": (GOOD.replace("EncryptionConfiguration", "Secret", 1), ["kind"]),
    "another version": (GOOD.replace("k8s.io/v1", "k8s.io/v7"), ["apiversion"]),
    "over 1 MiB": (GOOD + " " * (1 << 20), ["large", "1 mib", "1048576", "bytes"]),
    "duplicate key names": (config({"aescbc": {"keys": [key(), key()]}}, {"identity": {}}), ["aescbckey", "twice", "keys[1]"]),
    "key too short": (config({"aescbc": {"keys": [key(15)]}}), ["15", "length", "bytes"]),
    "key too long": (config({"secretbox": {"keys": [key(33)]}}), ["33", "length", "bytes"]),
    "secretbox with 16 bytes": (config({"secretbox": {"keys": [key(16)]}}), ["16", "length", "bytes"]),
    "not base64": (config({"aescbc": {"keys": [{"name": "aescbckey", "secret": KEYS[32][:-1] + "!"}]}}), ["base64"]),
    "unknown provider": (config({"rot13": {"keys": [key()]}}), ["rot13"]),
    "two members in a provider": (config({"aescbc": {"keys": [key()]}, "identity": {}}), ["providers[0]"]),
    "no providers": (config(), ["providers"]),
    "no keys": (config({"aescbc": {"keys": []}}), ["keys"]),
    "key without a name": (config({"aescbc": {"keys": [{"secret": KEYS[32]}]}}), ["name"]),
    "resource not in it": (config({"aescbc": {"keys": [key()]}}, resources=("configmaps",)), ["secrets"]),
    "kms": (config({"kms": {"name": "vault", "endpoint": "unix:///run/kms", "apiVersion": "v2"}}, {"identity": {}}), ["kms"]),
    "YAML cut off": ("kind: EncryptionConfiguration\napiVersion: [apiserver", ["line", "yaml"]),
    "a list where text belongs": (config({"aescbc": {"keys": [{"name": ["a"], "secret": KEYS[32]}]}}), ["name"]),
}


def change(**members):
    return lambda settings: {**settings, **members}


def without(name):
    return lambda settings: {k: v for k, v in settings.items() if k != name}


def store(**members):
    return lambda settings: {**settings, "state_store": {**settings["state_store"], **members}}


# name: (bytes of the file, or a change of good settings; words of which one has to stand in the line)
CONFIGS = {
    "missing": (None, ["no such file", "missing", "not found"]),
    "empty": (b"", ["empty"]),
    "truncated": (b'cluster: lab\nservers: [{"name": "s1", "api": "https', ["line", "yaml", "end", "quote"]),
    "not UTF-8": (b"cluster: \xff\xfe\n", ["utf-8"]),
    "wrong shape": (b'["s1", "s2"]\n', ["mapping", "object"]),
    "over 1 MiB": (b"# " + b"x" * (1 << 20), ["large", "1 mib", "1048576", "bytes"]),
    "misspelt field": (change(clustre="lab"), ["clustre"]),
    "no servers": (without("servers"), ["servers"]),
    "a server twice": (change(servers=[{"name": "s1", "api": "https://127.0.0.1:1"}] * 2), ["s1"]),
    "not a URL": (change(servers=[{"name": "s1", "api": "127.0.0.1"}]), ["servers[0].api"]),
    "http and https": (store(endpoints=["https://127.0.0.1:2379", "http://127.0.0.1:2379"]), ["endpoints"]),
    "certificate without key": (store(key_file=""), ["key_file"]),
    "number out of range": (change(lease_ttl=0), ["lease_ttl"]),
    "text for a number": (change(lease_ttl="soon"), ["lease_ttl"]),
    "name with a slash": (change(cluster="a/b"), ["cluster"]),
    "unknown policy": (change(repair="sometimes"), ["repair", "sometimes"]),
    "neither on nor off": (change(canaries={"enabled": "perhaps"}), ["canaries.enabled", "perhaps"]),
    "no snapshot kept": (change(snapshots={"keep": 0}), ["snapshots.keep"]),
    "escrow without end": (change(escrow_days="forever"), ["escrow_days"]),
}
CONFIGS_OF_DAEMONS = {
    "server that is not in the spec": (change(server="s9"), ["s9"]),
    "no server": (without("server"), ["server"]),
    "unknown driver": (change(driver="telepathy"), ["telepathy", "driver"]),
}
TOKENS = {
    "missing": None, "empty": b"", "white space": b" \n", "too short": b"short\n", "two lines": b"a" * 20 + b"\n" + b"b" * 20,
    "with a NUL": b"a" * 20 + b"\0" + b"b" * 20, "too long": b"a" * 5000, "a folder": "folder",
}
ROLES = {"agent": [], "agent check": ["check"], "agent sync": ["sync"], "coordinator": [], "cli": ["status"],
         "cli rotate-keys": ["rotate-keys"]}


class BadInputTest(unittest.TestCase):
    """One etcd, no API server: nothing of this gets as far as that."""

    @classmethod
    def setUpClass(cls):
        cls.lab = labs.Lab(servers=3, members=1).__enter__()
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.need_programs()
        cls.lab.start(apiservers=False)
        cls.box = cls.lab.dir / "bad"
        cls.box.mkdir()
        say(f"etcd runs in {cls.lab.dir}")

    def setUp(self):
        self.before = self.everything()

    def tearDown(self):
        self.assertEqual(self.before, self.everything(), "something was written")

    def everything(self):
        """Hashes of all files that a program could write, and all of our keys in etcd."""
        found = {kv.key: kv.value for kv in self.lab.etcd.range("/secrets-encrypt/")}
        for server in self.lab.servers:
            for path in server.dir.rglob("*"):
                if path.is_file() and path.suffix != ".lock":  # a daemon's lock is empty, and no state
                    found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def settings(self, role, change_of=None):
        settings = files.program_config(self.lab, None if role.startswith("cli") else self.lab.servers[0])
        return change_of(copy.deepcopy(settings)) if change_of else settings

    def run_role(self, role, path, timeout=20):
        program = "secrets-encrypt" + ("" if role.startswith("cli") else "-" + role.split()[0])
        argv = [str(self.lab.bin / program), "--config", str(path), *ROLES[role]]
        try:
            return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            self.fail(f"{role} still ran after {timeout} s")

    def check_line(self, result, *names, words=()):
        """Not zero; one line; it names each of `names` and one of `words`; no key's value in it."""
        output = result.stdout + result.stderr
        self.assertGreater(result.returncode, 0, output)
        lines = result.stderr.splitlines()
        self.assertEqual(1, len(lines), f"not one line: {result.stderr!r}")
        self.assertLess(len(lines[0]), 1200)
        for name in names:
            self.assertIn(str(name), lines[0])
        if words:
            self.assertTrue(any(w in lines[0].lower() for w in words), f"none of {words} in: {lines[0]}")
        for secret in KEYS.values():
            raw = base64.b64decode(secret)
            for form in (secret, secret[:12], raw.hex(), raw[:10].hex()):
                self.assertNotIn(form, output)

    def test_encryption_configs(self):
        for number, (name, (text, words)) in enumerate(ENCRYPTION_CONFIGS.items()):
            with self.subTest(name):
                path = self.box / f"encryption-{number}.json"
                if text is not None:
                    path.write_bytes(text.encode(errors="surrogateescape"))
                own = self.box / "config.yaml"
                own.write_text(files.yaml(self.settings("agent", change(encryption_config=str(path)))))
                result = self.run_role("agent check", own)
                self.check_line(result, path, words=words)
                if text is not None:
                    self.assertEqual(text.encode(errors="surrogateescape"), path.read_bytes())

    def test_a_good_file_is_ok(self):
        path, own = self.box / "good.json", self.box / "config.yaml"
        path.write_text(GOOD)
        own.write_text(files.yaml(self.settings("agent", change(encryption_config=str(path)))))
        result = self.run_role("agent check", own)
        self.assertEqual((0, "ok"), (result.returncode, result.stdout.strip()), result.stderr)

    def test_configs(self):
        for role in ROLES:
            cases = CONFIGS if role.startswith("cli") else {**CONFIGS, **CONFIGS_OF_DAEMONS}
            for number, (name, (content, words)) in enumerate(cases.items()):
                with self.subTest(f"{role}: {name}"):
                    path = self.box / f"config-{number}.yaml"
                    path.unlink(missing_ok=True)
                    if callable(content):
                        path.write_text(files.yaml(self.settings(role, content)))
                    elif content is not None:
                        path.write_bytes(content)
                    self.check_line(self.run_role(role, path), path, words=words)

    def test_tokens(self):
        for number, (name, content) in enumerate(TOKENS.items()):
            token = self.box / f"token-{number}"
            if content == "folder":
                token.mkdir()
            elif content is not None:
                token.write_bytes(content)
            for role in ROLES:
                with self.subTest(f"{role}: {name}"):
                    path = self.box / "config.yaml"
                    path.write_text(files.yaml(self.settings(role, change(token_file=str(token)))))
                    self.check_line(self.run_role(role, path), token)

    def test_flags(self):
        cases = [("secrets-encrypt", ["frobnicate"]), ("secrets-encrypt", ["status", "--nope"]),
                 ("secrets-encrypt", ["status", "-o", "xml"]), ("secrets-encrypt", ["prepare", "extra"]),
                 ("secrets-encrypt", ["prepare", "--skip"]), ("secrets-encrypt", ["rotate", "--timeout", "soon"]),
                 ("secrets-encrypt", ["repair"]), ("secrets-encrypt", ["repair", "s1", "s2"]),
                 ("secrets-encrypt", ["keys", "restore"]), ("secrets-encrypt", ["explain", "-o", "xml"]),
                 ("secrets-encrypt", ["pause", "s1"]), ("secrets-encrypt-agent", ["--nope"]), ("secrets-encrypt-agent", ["frobnicate"]),
                 ("secrets-encrypt-agent", ["--config"]), ("secrets-encrypt-coordinator", ["--nope"]),
                 ("secrets-encrypt-coordinator", ["extra"])]
        for program, args in cases:
            with self.subTest(f"{program} {args}"):
                result = subprocess.run([str(self.lab.bin / program), *args], stdin=subprocess.DEVNULL, check=False,
                                        capture_output=True, text=True, timeout=10)
                self.assertEqual(2, result.returncode, result.stdout + result.stderr)
                self.assertNotEqual("", result.stderr)

    # --- etcd ---

    def status_of(self, change_of, timeout=45):
        path = self.box / "cli.yaml"
        path.write_text(files.yaml(self.settings("cli", change_of)))
        return self.run_role("cli", path, timeout)

    def test_etcd_does_not_answer(self):
        listeners = {"silent": None, "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\nwhat?", "closing": b""}
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = f"127.0.0.1:{unused.getsockname()[1]}"
            with self.subTest("nobody listens"):
                self.check_line(self.status_of(store(endpoints=[f"https://{endpoint}"])), endpoint)
        for name, answer in listeners.items():
            with self.subTest(name), Listener(answer) as listener:
                self.check_line(self.status_of(store(endpoints=[f"https://{listener.endpoint}"])), listener.endpoint)

    def test_etcd_certificates(self):
        pki = self.box / "pki"
        pki.mkdir()
        certs.make_ca(pki, "other")
        certs.make_certificate(pki, "stranger", "stranger", ca="other")
        endpoint = self.lab.etcd_urls[0].removeprefix("https://")
        cases = {
            "another CA": store(ca_file=str(pki / "other.crt")),
            "client certificate of another CA": store(cert_file=str(pki / "stranger.crt"),
                                                      key_file=str(pki / "stranger.key")),
            "no client certificate": store(cert_file="", key_file=""),
            "another name": store(server_name="somebody-else"),
            "plain http": store(endpoints=[f"http://{endpoint}"], ca_file="", cert_file="", key_file="",
                                server_name=""),
        }
        for name, change_of in cases.items():
            with self.subTest(name):
                self.check_line(self.status_of(change_of), endpoint)
        for missing in ("ca_file", "cert_file", "key_file"):
            with self.subTest(f"{missing} is not there"):
                path = self.box / "nowhere.pem"
                self.check_line(self.status_of(store(**{missing: str(path)})), path)
        with self.subTest("no certificate in the file"):
            path = self.box / "not-a-certificate.pem"
            path.write_text("hello\n")
            self.check_line(self.status_of(store(ca_file=str(path))), path)
        shutil.rmtree(pki)


class Listener:
    """Accepts connections and answers each with some bytes, or (None) with silence."""

    def __init__(self, answer):
        self.answer, self.open = answer, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            if self.answer is None:
                self.open.append(connection)
                continue
            with connection:
                try:
                    connection.recv(4096)
                    connection.sendall(self.answer)
                except OSError:
                    continue

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.open:
            connection.close()


if __name__ == "__main__":
    support.main()
