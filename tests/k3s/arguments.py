"""The command line, as K3s has it where K3s has it. What begins with --stand-in- is the stand-in's own."""
import argparse

SUBCOMMANDS = ("status", "enable", "disable", "prepare", "rotate", "reencrypt", "rotate-keys")
DATA_DIR = "/var/lib/rancher/k3s"


def _server(sub):
    sub.add_argument("--data-dir", "-d", default=DATA_DIR)
    sub.add_argument("--node-name", required=True)
    sub.add_argument("--bind-address", default="127.0.0.1", help="address of API server, supervisor and etcd member")
    sub.add_argument("--https-listen-port", type=int, default=6443, help="the supervisor's port")
    sub.add_argument("--token-file", help="a copy of it becomes <data-dir>/server/token")
    sub.add_argument("--cluster-init", action="store_true", help="this server makes the first bootstrap data")
    sub.add_argument("--server", "-s", help="joins: waits until there are bootstrap data (the URL is not called)")
    sub.add_argument("--secrets-encryption", action="store_true")
    sub.add_argument("--secrets-encryption-provider", choices=("aescbc", "secretbox"), default="aescbc")
    sub.add_argument("--disable-apiserver", action="store_true")
    sub.add_argument("--disable-etcd", action="store_true")
    sub.add_argument("--datastore-endpoint", default="", help="URLs of an etcd elsewhere: no member of its own")
    sub.add_argument("--datastore-cafile")
    sub.add_argument("--datastore-certfile")
    sub.add_argument("--datastore-keyfile")
    sub.add_argument("--etcd-arg", action="append", default=[])
    sub.add_argument("--kube-apiserver-arg", action="append", default=[])
    sub.add_argument("--kubelet-arg", action="append", default=[], help="nothing; taken so that real units pass")
    sub.add_argument("--stand-in-apiserver-port", type=int, default=6444)
    sub.add_argument("--stand-in-members", default="", help="NAME=URL,…: the peers of the embedded etcd; URLs with "
                     "--disable-etcd are those of its clients")
    sub.add_argument("--stand-in-etcd-port", type=int, default=2379, help="the next one is the peers'")
    sub.add_argument("--stand-in-version", default="v1.28.5+k3s1", help="the Node's kubelet version")
    sub.add_argument("--stand-in-kube-apiserver", default="kube-apiserver")
    sub.add_argument("--stand-in-etcd", default="etcd")


def _encrypt(sub):
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data-dir", "-d", default=DATA_DIR)
    common.add_argument("--token", "-t", default="")
    common.add_argument("--server", "-s", default="")
    commands = sub.add_subparsers(dest="subcommand", required=True)
    for name in SUBCOMMANDS:
        one = commands.add_parser(name, parents=[common])
        if name == "status":
            one.add_argument("--output", "-o", choices=("text", "json"), default="text")
        if name in ("prepare", "rotate", "reencrypt"):
            one.add_argument("--force", "-f", action="store_true")
        if name == "reencrypt":
            one.add_argument("--skip", action="store_true")


def parse(argv):
    parser = argparse.ArgumentParser(prog="k3s", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _server(commands.add_parser("server", allow_abbrev=False))
    _encrypt(commands.add_parser("secrets-encrypt", allow_abbrev=False))
    return parser.parse_args(argv)
