"""API servers of a lab as static pods: their manifests in kubeadm's form, run by the stand-in of kubelet
(tests/kubelet/kubelet.py)."""
import sys
from pathlib import Path

import files
import processes

KUBELET = Path(__file__).resolve().parent.parent.parent / "tests" / "kubelet" / "kubelet.py"
FLAG = "--encryption-provider-config"
TIMEOUT = 60  # seconds for kubelet's part of a restart


def settings(server, more):
    """The programs' config with this driver instead of the lab's own."""
    ours = {"driver": "static-pod", "static_pod": {"manifest": str(server.manifest)}, "service": {"timeout": TIMEOUT}}
    return {**ours, **{name: value for name, value in more.items() if name not in ("driver", "exec", "pid_file")}}


def arguments(lab, server):
    """The API server's arguments; those of a container that sees nothing but what is mounted."""
    argv = ["--cert-dir=/tmp" if a.startswith("--cert-dir=") else a for a in files.apiserver_argv(lab, server)[1:]]
    return sorted(a for a in argv if lab.encrypted or not a.startswith(FLAG))


def manifest(lab, server):
    """The text, as kubeadm writes it."""
    volumes = [("k8s-certs", lab.dir / "certs", "DirectoryOrCreate"), ("tokens", lab.dir / "tokens.csv", "File")]
    if lab.encrypted:
        volumes.append(("enc", server.encryption_config.parent, "DirectoryOrCreate"))
    lines = ["apiVersion: v1", "kind: Pod", "metadata:", "  annotations:",
             f"    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: {server.address}:{lab.api_port}",
             "  creationTimestamp: null", "  labels:", "    component: kube-apiserver", "    tier: control-plane",
             "  name: kube-apiserver", "  namespace: kube-system", "spec:", "  containers:", "  - command:",
             "    - kube-apiserver"]
    lines += [f"    - {a}" for a in arguments(lab, server)]
    lines += ["    image: registry.k8s.io/kube-apiserver:v1.20.2", "    imagePullPolicy: IfNotPresent",
              "    name: kube-apiserver", "    resources:", "      requests:", "        cpu: 250m", "    volumeMounts:"]
    for name, path, _ in volumes:
        lines += [f"    - mountPath: {path}", f"      name: {name}", "      readOnly: true"]
    lines += ["  hostNetwork: true", "  priorityClassName: system-node-critical", "  terminationGracePeriodSeconds: 10",
              "  volumes:"]
    for name, path, kind in volumes:
        lines += ["  - hostPath:", f"      path: {path}", f"      type: {kind}", f"    name: {name}"]
    return "\n".join([*lines, "status: {}"]) + "\n"


def write_files(lab, server):
    """The folders, and the manifest where kubelet will look for it."""
    for folder in (server.manifest.parent, server.encryption_config.parent):
        folder.mkdir(mode=0o700)
    processes.write_atomic(server.manifest, manifest(lab, server))


def start(lab, server):
    """Starts the stand-in of one server, which starts the API server."""
    argv = [sys.executable, "-B", str(KUBELET), str(lab.dir), server.name]
    server.kubelet = processes.Process(lab.dir, f"kubelet-{server.name}", argv, server.dir / "kubelet.log").start()
