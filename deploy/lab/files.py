"""The files that a lab writes: encryption configs in K3s's shape, our programs' config, argument lists."""
import base64
import json
import os
import re
import subprocess

import certs

PROVIDERS = ("aescbc", "aesgcm", "secretbox")


def new_key(name):
    return {"name": name, "secret": base64.b64encode(os.urandom(32)).decode()}


def entry(resources, provider="aescbc", key_name=None):
    """One `resources` entry: a single key of the provider, identity last."""
    key = new_key(key_name or f"{provider}key")
    return {"resources": list(resources), "providers": [{provider: {"keys": [key]}}, {"identity": {}}]}


def encryption_config(entries, form="json"):
    """The file's text: compact JSON as K3s writes it, or YAML as an administrator would."""
    if form == "json":
        return json.dumps({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
                           "resources": entries}, separators=(",", ":"))
    lines = ["# written by hand", "apiVersion: apiserver.config.k8s.io/v1", "kind: EncryptionConfiguration",
             "resources:"]
    for one in entries:
        lines += ["  - resources:"] + [f"      - {r}" for r in one["resources"]] + ["    providers:"]
        for provider in one["providers"]:
            (name, body), = provider.items()
            if not body:
                lines.append(f"      - {name}: {{}}")
                continue
            lines += [f"      - {name}:", "          keys:"]
            for key in body["keys"]:
                lines += [f"            - name: {key['name']}", f"              secret: {key['secret']}"]
    return "\n".join(lines) + "\n"


def yaml(settings):
    """A mapping as YAML: one line a member, values in YAML's flow style (which is JSON)."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def program_config(lab, server=None):
    """The config of agent and coordinator on `server`, or of the CLI when there is none."""
    pki = lab.dir / "certs"
    settings = {"cluster": lab.cluster}
    if server:
        settings["server"] = server.name
    settings["servers"] = [{"name": s.name, "api": s.url} for s in lab.servers]
    settings["resources"] = lab.resources
    settings["token_file"] = str(lab.dir / "token")
    settings["state_store"] = {"endpoints": lab.etcd_urls, "ca_file": str(pki / "ca.crt"),
                               "cert_file": str(pki / "client.crt"), "key_file": str(pki / "client.key"),
                               "server_name": certs.SHARED_NAME}
    settings["kubernetes"] = {"ca_file": str(pki / "ca.crt"), "token_file": str(lab.dir / "admin-token")}
    if server:
        settings["state_dir"] = str(server.dir / "state")
        settings["encryption_config"] = str(server.encryption_config)
        settings["driver"] = "exec"
        settings["exec"] = {"restart": [str(lab.dir / "restart"), server.name], "timeout": 60}
        settings["pid_file"] = str(server.pid_file)
        settings["api"] = {"socket": str(server.dir / "api" / "api.sock")}
        if server.address.startswith("127."):  # servers of one machine; else each has a loopback of its own
            settings["http"] = {"listen": f"{server.address}:9449"}
    for name, value in lab.settings.items():
        if server or not callable(value):
            settings[name] = value(server) if callable(value) else value
    return settings


# API groups that no part of a lab uses; without them a start takes two thirds of the time and memory.
# Given only to the release whose groups these are: others refuse names that they do not know.
UNUSED_RELEASE = "v1.20."
UNUSED_GROUPS = (
    "apps/v1", "batch/v1", "batch/v1beta1", "extensions/v1beta1", "autoscaling/v1", "autoscaling/v2beta1",
    "autoscaling/v2beta2", "networking.k8s.io/v1beta1", "policy/v1beta1", "storage.k8s.io/v1beta1",
    "certificates.k8s.io/v1beta1", "node.k8s.io/v1beta1", "discovery.k8s.io/v1beta1", "events.k8s.io/v1beta1",
    "coordination.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1beta1", "scheduling.k8s.io/v1beta1",
    "admissionregistration.k8s.io/v1beta1", "authentication.k8s.io/v1beta1", "authorization.k8s.io/v1beta1")


def runtime_config(kube_apiserver):
    result = subprocess.run([str(kube_apiserver), "--version"], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, check=False, timeout=30)
    if UNUSED_RELEASE not in result.stdout:
        return []
    return ["--runtime-config=" + ",".join(f"{group}=false" for group in UNUSED_GROUPS)]


def apiserver_argv(lab, server):
    """kube-apiserver alone against etcd: no kubelet, no controllers."""
    pki = lab.dir / "certs"
    account_key = str(pki / "service-account.key")
    return [str(lab.kube_apiserver),
            f"--etcd-servers={','.join(lab.etcd_urls)}", f"--etcd-cafile={pki / 'ca.crt'}",
            f"--etcd-certfile={pki / 'client.crt'}", f"--etcd-keyfile={pki / 'client.key'}",
            f"--bind-address={server.address}", f"--secure-port={lab.api_port}",
            f"--advertise-address={server.address}", f"--cert-dir={server.dir}",
            f"--tls-cert-file={pki / 'server.crt'}", f"--tls-private-key-file={pki / 'server.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={account_key}", f"--service-account-key-file={account_key}",
            "--api-audiences=https://kubernetes.default.svc", "--service-cluster-ip-range=10.43.0.0/16",
            f"--token-auth-file={lab.dir / 'tokens.csv'}", "--authorization-mode=RBAC",
            f"--encryption-provider-config={server.encryption_config}", "--endpoint-reconciler-type=none",
            "--disable-admission-plugins=ServiceAccount", "--profiling=false",
            *lab.apiserver_extra]


RESTART = """#!/bin/sh
# Restarts the API server of one server of this lab: {folder}/restart s1
exec {python} {script} {folder} "$@"
"""


def keys_in(text):
    """(name, secret) of every key in an encryption config's text, JSON or the YAML that stands in labs."""
    if text.lstrip().startswith("{"):
        entries = json.loads(text)["resources"]
        return [(k["name"], k["secret"]) for e in entries for p in e["providers"] for b in p.values() if b
                for k in b.get("keys") or []]
    words = re.findall(r"\b(name|secret):\s*[\"']?([^\"'\s,}]+)", text)
    names = [value for word, value in words if word == "name"]
    return list(zip(names, [value for word, value in words if word == "secret"]))
