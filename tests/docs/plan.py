"""What test_commands.py types in its lab: the book's own command lines, in a sensible order."""
from collections import namedtuple

# `code`: the exit code. `before`: a method of the test that makes the cluster as it is when one types this.
Step = namedtuple("Step", "text code before after", defaults=(0, None, None))

STEPS = [
    # a cluster that is well
    Step("secrets-encrypt-agent check"),
    Step("secrets-encrypt status"),
    Step("secrets-encrypt status -o wide"),
    Step("secrets-encrypt preflight"),
    Step("secrets-encrypt diff"),
    Step("secrets-encrypt diff s1 s2"),
    Step("secrets-encrypt explain"),
    Step("secrets-encrypt audit"),
    Step("secrets-encrypt rotate-keys --dry-run"),
    Step("etcdctl get --prefix /secrets-encrypt/<cluster>/", after="shows_our_keys"),
    Step("curl http://127.0.0.1:9449/readyz", after="says_ok"),
    # somebody changes files
    Step("secrets-encrypt repair s3", before="s3_edited", after="repaired"),
    Step("secrets-encrypt repair s2", before="s2_edited", after="repaired"),
    Step("secrets-encrypt repair <server>", before="s2_edited", after="repaired"),
    Step("secrets-encrypt repair SERVER", before="s2_edited", after="repaired"),
    # rotations
    Step("secrets-encrypt restart", after="followed"),
    Step("secrets-encrypt restart --reason \"kernel update\" --wait", after="all_restarted"),
    Step("secrets-encrypt rotate-keys", after="rotated"),
    Step("secrets-encrypt wait"),
    Step("secrets-encrypt resume", before="paused_rotation"),
    Step("secrets-encrypt abort --wait"),
    Step("export SECRETS_ENCRYPT_COORDINATOR=10.0.0.1:6448,10.0.0.2:6448,10.0.0.3:6448"),
    Step("export SECRETS_ENCRYPT_CA=api-ca.crt SECRETS_ENCRYPT_CERT=ci.crt SECRETS_ENCRYPT_KEY=ci.key"),
    Step("secrets-encrypt rotate-keys --idempotency-key \"$PIPELINE_ID\"", after="rotated"),
    Step("secrets-encrypt keys", after="a_key_is_retired"),
    Step("secrets-encrypt keys restore NAME", after="restored"),
]


def texts():
    return {step.text for step in STEPS}
