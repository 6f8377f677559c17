"""What K3s's supervisor does to the encryption config: the stages, what they ask for, and their errors.

Each step writes the file, then the annotation, then the state file, then the bootstrap data, and none of it is undone
when a later one fails: that is K3s's order, and tests rely on it."""
import os
import re
import threading
import time
from urllib.parse import quote

import bootstrap
import encryption_config
import https
import kube
import nodes as node_objects
import say

PAGE = 20
RATE = 200  # Secrets a second at most, one after another
NEEDED_VERSION = (1, 28)
RELOAD_WAIT, RELOAD_POLL = 120, 5  # seconds that rotate-keys waits for the API server to load the file
CONFLICT = ('Operation cannot be fulfilled on nodes "{}": the object has been modified; please apply your changes to '
            "the latest version and try again")
RELOADS = re.compile(r'^apiserver_encryption_config_controller_automatic_reloads_total\{[^}]*status="success"[^}]*\} '
                     r"(\S+)$", re.M)


class StageError(Exception):
    """A request that is refused or failed; K3s shows its number to the user and its text in the log."""


class Stages:
    """The encryption config of one server."""

    def __init__(self, paths, trouble, nodes, etcd, token, kind, encrypt):
        self.paths, self.trouble, self.nodes, self.etcd, self.token = paths, trouble, nodes, etcd, token
        self.kind, self.encrypt = kind, encrypt

    # --- what is published ---

    def publish_state(self):
        """The annotation becomes what the state file says."""
        self.nodes.annotate(self.paths.state.read_text())

    def _publish(self, stage, skip_file=False):
        value = f"{stage}-{encryption_config.hash_of(self.paths)}"
        self.nodes.annotate(value)
        if not skip_file:
            encryption_config.write_file(self.paths.state, value)

    def _published(self):
        """(stage, hash) of this server."""
        node = self.nodes.own()
        if node_objects.CONTROL_PLANE not in (node["metadata"].get("labels") or {}):
            raise StageError(f"cannot manage secrets encryption on non control-plane node {self.nodes.name}")
        value = (node["metadata"].get("annotations") or {}).get(node_objects.ANNOTATION)
        if value is None:
            raise StageError(f"missing annotation on node {self.nodes.name}")
        parts = value.split("-")
        if len(parts) != 2:
            raise StageError(f"invalid annotation {value} found on node {self.nodes.name}")
        return parts

    def _same_everywhere(self):
        """Compares what the servers published; those that published nothing are passed over. The first node."""
        found, first = self.nodes.control_plane(), None
        for node in found:
            name = node["metadata"]["name"]
            value = (node["metadata"].get("annotations") or {}).get(node_objects.ANNOTATION)
            if value is not None and first is None:
                first = (name, value)
            elif value is not None and value != first[1]:
                raise StageError(f"hash does not match between {first[0]} and {name}")
        return found[0]["metadata"]["name"] if found else self.nodes.name

    def _check(self, *allowed):
        """The preconditions of a stage. K3s names the first node here, whichever node it is about."""
        first = self._same_everywhere()
        stage, published = self._published()
        if stage not in allowed:
            raise StageError(f"incorrect stage: {stage} found on node {first}")
        if published != encryption_config.hash_of(self.paths):
            raise StageError(f"invalid hash: {published} found on node {first}")

    def _save(self):
        bootstrap.save(self.etcd, self.token, self.paths)

    # --- requests ---

    def status(self):
        try:
            found = encryption_config.providers(self.paths)
        except FileNotFoundError:
            return {"stage": "", "activekey": ""}
        state = {"stage": "", "activekey": ""}
        enabled = self._enabled(found)
        if enabled is not None:
            state["enable"] = enabled
        try:
            self._same_everywhere()
            state["hashmatch"] = True
        except StageError as error:
            state["hasherror"] = str(error)
        state["stage"], _ = self._published()
        inactive, first = [], True
        for provider in found:
            for kind, body in provider.items():
                for key in (body or {}).get("keys") or []:
                    name = f"{encryption_config.TYPES[kind]} {key['name']}"
                    if first:
                        state["activekey"], first = name, False
                    else:
                        inactive.append(name)
                first = first and kind != "identity"
        if inactive:
            state["inactivekeys"] = inactive
        return state

    def _enabled(self, found):
        first, last = next(iter(found[0])), next(iter(found[-1]))
        if last == "identity" and first in encryption_config.TYPES:
            return True
        if not self.encrypt or first == "identity":
            return False
        return None

    def request(self, body):
        """What PUT …/encrypt/config asks for."""
        stage = body.get("stage")
        steps = {"prepare": self._prepare, "rotate": self._rotate, "reencrypt_active": self._reencrypt,
                 "rotate_keys": self._rotate_keys}
        self._race("bad_request")
        if stage is not None:
            if stage not in steps:
                raise StageError(f"unknown stage {stage} requested")
            steps[stage](bool(body.get("force")), bool(body.get("skip")))
        elif body.get("enable") is not None:
            self._enable(bool(body["enable"]))
        self._race("bad_request_done")

    def _race(self, switch):
        """Another writer was faster at the node's annotation (k3s#9119)."""
        if self.trouble.strikes(switch):
            raise StageError(CONFLICT.format(self.nodes.name))

    def _check_unless(self, force, *allowed):
        try:
            self._check(*allowed)
        except StageError:
            if not force:
                raise

    def _no_secretbox(self, step):
        if self.kind == "secretbox":
            raise StageError(f"{step} does not support secretbox key type, use rotate-keys instead")

    def _prepare(self, force, _):
        self._check_unless(force, "start", "reencrypt_finished")
        self._no_secretbox("prepare")
        keys = encryption_config.keys(self.paths)
        keys[self.kind].append(encryption_config.new_key(self.kind))
        self._change(keys, "prepare")

    def _rotate(self, force, _):
        self._check_unless(force, "prepare")
        self._no_secretbox("rotate")
        keys = encryption_config.keys(self.paths)
        keys[self.kind] = keys[self.kind][-1:] + keys[self.kind][:-1]
        self._change(keys, "rotate")
        say.info(f"Encryption {self.kind} keys right rotated")

    def _change(self, keys, stage):
        encryption_config.write(self.paths, keys, self.kind, True)
        if self.trouble.strikes_once(f"{stage}_crash"):
            say.error(f"stand-in: the process dies in {stage}, after the disk and before the datastore")
            os._exit(137)
        self._publish(stage)
        self._save()

    def _enable(self, enable):
        found = encryption_config.providers(self.paths)
        keys = encryption_config.keys(self.paths)
        first, last = next(iter(found[0])), next(iter(found[-1]))
        enabled = last == "identity" and first in encryption_config.TYPES
        if enable == enabled:
            say.info(f"Secrets encryption already {'enabled' if enable else 'disabled'}")
            return
        if enable and not keys[self.kind]:
            raise StageError(f"cannot enable secrets encryption with {self.kind} key type, no keys found")
        say.info(f"{'Enabling' if enable else 'Disabling'} secrets encryption")
        encryption_config.write(self.paths, keys, self.kind, enable)
        self._save()
        # The rewrite changes nothing unless the API server loaded the file meanwhile. The state file stays as it was,
        # with the hash of the file before.
        self._rewrite_and_drop(skip=True)

    def _reencrypt(self, force, skip):
        self._check_unless(force, "rotate")
        self._no_secretbox("reencrypt")
        self._publish("reencrypt_active", skip_file=True)
        if self.trouble.value("state_request"):
            encryption_config.write_file(self.paths.state,
                                         f"reencrypt_request-{encryption_config.hash_of(self.paths)}")
            self._save()
        threading.Thread(target=self._reencrypt_in_background, args=(skip,), daemon=True).start()

    def reencrypt_again(self):
        """After a start whose state file says that a re-encryption was asked for (see README.md)."""
        self._publish("reencrypt_active", skip_file=True)
        threading.Thread(target=self._reencrypt_in_background, args=(False,), daemon=True).start()

    def _reencrypt_in_background(self, skip):
        """Nobody is told when it fails: the stage stays reencrypt_active, as with K3s."""
        try:
            self._rewrite_and_drop(skip)
        except (StageError, kube.KubeError, https.Unreachable, https.Broken, OSError) as error:
            say.warning(f"SecretsUpdateError: {error}")

    def _rewrite_and_drop(self, skip):
        if self.trouble.strikes("active_forever") and self.trouble.value("active_forever") != "removed":
            self._rewrite(at_most=PAGE)
            threading.Event().wait()
        self._rewrite()
        if skip:
            self.publish_state()
            return
        keys = encryption_config.keys(self.paths)
        other = "secretbox" if self.kind == "aescbc" else "aescbc"
        kind = other if len(keys[self.kind]) == 1 and keys[other] else self.kind
        dropped = keys[kind].pop()
        say.info(f"Removing {kind} key: {dropped['name']}")
        encryption_config.write(self.paths, keys, self.kind, True)
        if self.trouble.value("active_forever") == "removed":
            raise StageError(CONFLICT.format(self.nodes.name))  # k3s#5489
        self._publish("reencrypt_finished")
        self._save()

    def _rotate_keys(self, *_):
        self._check("start", "reencrypt_finished")
        for node in self.nodes.control_plane():
            version = node["status"]["nodeInfo"]["kubeletVersion"]
            if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < NEEDED_VERSION:
                raise StageError(f"node {node['metadata']['name']} is running k3s version {version.lstrip('v')} that "
                                 "does not support rotate-keys")
        before = self._reloads()
        self._publish("reencrypt_active", skip_file=True)
        keys = encryption_config.keys(self.paths)
        keys[self.kind].append(encryption_config.new_key(self.kind))
        encryption_config.write(self.paths, keys, self.kind, True)
        keys[self.kind] = keys[self.kind][-1:] + keys[self.kind][:-1]
        say.info(f"Rotating secrets-encryption {self.kind} keys")
        encryption_config.write(self.paths, keys, self.kind, True)
        self._wait_reload(before)
        self._rewrite_and_drop(skip=False)

    # --- the API server ---

    def _reloads(self):
        status, data = self.nodes.api.http.raw("GET", "/metrics", accept="text/plain")
        found = RELOADS.findall(data.decode(errors="replace")) if status == 200 else []
        return int(float(found[0])) if found else 0

    def _wait_reload(self, before):
        deadline = time.monotonic() + float(self.trouble.value("reload_wait", RELOAD_WAIT))
        while True:
            now = self._reloads()
            if now > before:
                say.info(f"encryption config reloaded successfully {now} times")
                return
            if time.monotonic() >= deadline:
                raise StageError("context deadline exceeded: apiserver has not reloaded encryption configuration "
                                 f"(reload success: {now}/{before})")
            time.sleep(RELOAD_POLL)

    def _secrets(self):
        """Every Secret, in pages; all at once when a list took so long that its revision is gone."""
        more = ""
        while True:
            try:
                answer = self.nodes.api.call("GET", f"/api/v1/secrets?limit={PAGE}" +
                                             (f"&continue={quote(more)}" if more else ""))
            except kube.KubeError as error:
                if error.status != 410 or not more:
                    raise
                answer = self.nodes.api.call("GET", "/api/v1/secrets")
            yield from answer.get("items") or []
            more = answer["metadata"].get("continue")
            if not more:
                return

    def _rewrite(self, at_most=None):
        """Writes every Secret back as it was read. The first failure but a conflict ends it."""
        done, began = 0, time.monotonic()
        for secret in self._secrets():
            if at_most is not None and done >= at_most:
                return
            self._write_back(secret)
            done += 1
            if done % 50 == 0:
                say.info(f"SecretsProgress: reencrypted {done} secrets")
            ahead = done / float(self.trouble.value("reencrypt_rate", RATE)) - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
        say.info(f"SecretsUpdateComplete: reencrypted {done} secrets")

    def _write_back(self, secret):
        metadata = secret["metadata"]
        path = kube.secret_path(metadata["namespace"], metadata["name"])
        try:
            self.nodes.api.call("PUT", path, {"apiVersion": "v1", "kind": "Secret", **secret})
        except kube.KubeError as error:
            # Releases before 2023 ended here too (k3s#6824).
            if error.status != 409 or self.trouble.value("conflict_aborts"):
                raise StageError(f"failed to update secret: {error}") from error
