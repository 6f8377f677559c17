"""What deploy/quickstart.sh does once Python is there; see there for the flags."""
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until main() is there to say something

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shlex  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
import etcd  # noqa: E402
import files  # noqa: E402
import https  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import observe  # noqa: E402
import processes  # noqa: E402
from steps import Failed, Steps  # noqa: E402

SEED = "quickstart"
PROGRAMS = ("secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator")


def some(number, word):
    return f"{number} {word}{'' if number == 1 else 's'}"


def build(steps):
    """Builds the three programs (preset `release`)."""
    steps.run(["cmake", "--preset", "release"], "configuring the build", labs.TOP)
    steps.run(["cmake", "--build", "--preset", "release", "--target", *PROGRAMS], "the build", labs.TOP)


def show_status(steps, lab):
    result = lab.cli("status")
    if result.returncode != 0:
        raise Failed(f"secrets-encrypt status: {result.stderr.strip()}")
    steps.say()
    for line in result.stdout.rstrip("\n").splitlines():
        steps.say(f"       {line}".rstrip())
    steps.say()


def rotate(steps, lab):
    """rotate-keys with its own progress on our terminal; returns what was seen, and whether it worked."""
    with observe.Rotation(lab) as rotation:
        steps.say()
        code = subprocess.run(lab.cli_argv("rotate-keys"), stdin=subprocess.DEVNULL, check=False).returncode
        steps.say()
    return rotation.stages(), code


def reencrypt_figures(lab):
    body = lab.record("reencrypt") or {}
    seconds = max(body.get("ended_ms", 0) - body.get("started_ms", 0), 0) / 1000
    done = body.get("done", 0)
    return {"objects": done, "seconds": round(seconds, 3), "per_second": round(done / seconds, 1) if seconds else 0}


def count(lab):
    """(under old keys, under the key that writes now, plain), over every stored Secret."""
    text = lab.servers[0].encryption_config.read_text()
    writes_with = files.keys_in(text)[0][0]
    old = new = plain = 0
    for key, values in lab.count_by_key().items():
        if key == "plain":
            plain += values
        elif key.partition(":")[2] == writes_with:
            new += values
        else:
            old += values
    return old, new, plain


def work(steps, lab, args, report):
    """Everything from the running cluster to the report; returns the reasons why it did not go well."""
    with steps.step(f"{some(args.servers, 'agent')}, {some(args.servers, 'coordinator')}") as step:
        lab.start_programs()
        step.result = f"{lab.leader()} leads"
    with steps.step(f"{some(args.secrets, 'Secret')} written") as step:
        kube.make_secrets(lab.clients(), SEED, range(args.secrets), step.tick)
    with steps.step("secrets-encrypt status", quiet=True):
        show_status(steps, lab)
    with steps.step("secrets-encrypt rotate-keys", quiet=True):
        report["stages"], code = rotate(steps, lab)
        report["reencrypt"] = reencrypt_figures(lab)
        report["restarts"] = lab.restarts()
    with steps.step("secrets-encrypt status", quiet=True):
        show_status(steps, lab)
    with steps.step("stored values counted in etcd, by key") as step:
        old, new, plain = count(lab)
        report.update(values_under_old_key=old, values_under_new_key=new, values_plain=plain)
        step.result = f"old key {old}, new key {new}, plain {plain}"
    with steps.step("every Secret read back from every server") as step:
        errors = kube.read_errors(lab.clients(), SEED, range(args.secrets))
        report["read_errors"] = len(errors)
        step.result = f"{args.secrets * len(lab.servers)} reads, {len(errors)} errors"
    problems = errors[:5]
    if code != 0:
        problems.append(f"rotate-keys ended with {code}")
    if old or plain or new != args.secrets:
        problems.append(f"of {args.secrets} Secrets {new} are under the new key, {old} under another, {plain} plain")
    return problems


def how_to_stop(lab):
    return f"{shlex.quote(str(labs.TOP / 'deploy' / 'quickstart.sh'))} --stop {shlex.quote(str(lab.dir))}"


def how_to_look(steps, lab):
    """What to type, for a lab that was kept."""
    cli = " ".join(map(shlex.quote, lab.cli_argv()))
    pki, folder = lab.dir / "certs", shlex.quote(str(lab.dir))
    etcdctl = (f"ETCDCTL_API=3 etcdctl --endpoints={','.join(lab.etcd_urls)} --cacert={pki / 'ca.crt'} "
               f"--cert={pki / 'client.crt'} --key={pki / 'client.key'}")
    steps.say(f"Everything runs on, in {lab.dir}. To look at it:\n"
              f"  {cli} status\n  {cli} rotate-keys\n"
              f"  tail -f {folder}/s1/coordinator.log {folder}/s*/agent.log\n"
              f"  {folder}/restart {lab.servers[-1].name}                # restarts an API server\n"
              f"  {etcdctl} get --prefix /secrets-encrypt/ --keys-only\n"
              f"To stop it:\n  {how_to_stop(lab)}")


def run(args):
    steps = Steps(first=2)
    report = {"servers": args.servers, "secrets": args.secrets, "values_under_old_key": None,
              "values_under_new_key": None, "values_plain": None, "read_errors": None, "restarts": [], "stages": [],
              "reencrypt": {"objects": 0, "seconds": 0, "per_second": 0}, "seconds": 0}
    started = float(os.environ.get("QUICKSTART_STARTED") or time.time())
    with steps.step("build"):
        build(steps)
    with steps.step("kube-apiserver") as step:
        step.detail = "the first time it is built from Debian's source, 3 minutes"
        path = steps.run([str(labs.HERE / "get-kube-apiserver.sh")], "getting a kube-apiserver").strip()
        step.result = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                     check=False).stdout.strip().removeprefix("Kubernetes ")
    members = 1 if args.servers == 1 else 3
    with labs.Lab(args.servers, members, kube_apiserver=path) as lab:
        try:
            with steps.step(f"{members}-member etcd, {some(args.servers, 'API server')}, on loopback"):
                lab.start()
            problems = work(steps, lab, args, report)
        except (Failed, labs.LabError, etcd.EtcdError, kube.KubeError, https.Unreachable, https.Broken) as error:
            problems = [str(error)]
        except (KeyboardInterrupt, SystemExit):
            if args.keep:
                lab.leave()
                steps.say(f"\nInterrupted; what was started runs on in {lab.dir}. To stop it:\n  {how_to_stop(lab)}")
            raise
        if problems and lab.etcd:
            print(lab.diagnosis(8), file=sys.stderr)
        if args.keep:
            lab.leave()
        else:
            with steps.step("cleaned up"):
                lab.stop()
    report["seconds"] = round(time.time() - started, 1)
    if args.report:
        processes.write_atomic(args.report, json.dumps(report, indent=2) + "\n", 0o644)
    steps.say()
    for problem in problems:
        print(f"quickstart: {problem}", file=sys.stderr)
    if not problems:
        steps.say(f"Rotated in {report['seconds']:.0f} s altogether: no value under the old key, none plain, none "
                  f"unreadable{'; report in ' + args.report if args.report else ''}.\n")
    if args.keep:
        how_to_look(steps, lab)
        steps.say()
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(prog="quickstart")
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--secrets", type=int, default=500)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--report")
    args = parser.parse_args()
    if args.report:
        args.report = os.path.abspath(args.report)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(args)
    except KeyboardInterrupt:
        stopped = "" if args.keep else "; everything that was started is stopped"
        print(f"\nquickstart: interrupted{stopped}", file=sys.stderr)
        return 130
    except (Failed, labs.LabError, OSError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
