"""The steps of the pipelines in deploy/ci as their runners would run them: what an expression or a variable stands for is put
in, and the shell gets the step's text as it is."""
import re
from pathlib import Path

import yaml

CI = Path(__file__).resolve().parents[2] / "deploy" / "ci"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


class Step:
    def __init__(self, name, script, env, shell):
        self.name, self.script, self.env, self.shell = name, script, env, shell


def load(path):
    with open(CI / path, encoding="utf-8") as f:
        return yaml.safe_load(f)


def github_steps(inputs, context):
    """The composite action's steps with these inputs; `context` holds runner.temp and the like."""
    action = load("github/secrets-encrypt/action.yml")
    values = {f"inputs.{n}": str(i.get("default", "")) for n, i in action["inputs"].items()}
    unknown = set(inputs) - set(action["inputs"])
    missing = {n for n, i in action["inputs"].items() if i.get("required")} - set(inputs)
    if unknown or missing:
        raise ValueError(f"inputs: {unknown} are unknown, {missing} are missing")
    values.update({f"inputs.{n}": v for n, v in inputs.items()}, **context)

    def put_in(text):
        return EXPRESSION.sub(lambda m: values[m.group(1)], str(text))
    for step in action["runs"]["steps"]:
        yield Step(put_in(step.get("name", "")), put_in(step["run"]),
                   {n: put_in(v) for n, v in step.get("env", {}).items()}, ["bash", "--noprofile", "--norc", "-eo", "pipefail"])


def github_uses():
    """What the workflow gives to the action: [(step, {input: text})]."""
    workflow = load("github/rotate.yml")
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").endswith("/secrets-encrypt"):
                yield step["name"], step["with"]


def gitlab_step(variables):
    job = load("gitlab/secrets-encrypt.gitlab-ci.yml")[".secrets-encrypt"]
    env = {**{n: str(v) for n, v in job["variables"].items()}, **variables}
    return Step("script", "\n".join(job["script"]), env, ["bash", "-eo", "pipefail"])
