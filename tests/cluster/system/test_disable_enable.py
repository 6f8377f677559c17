"""Disable and enable, as the K3s documentation has them: after disable and `reencrypt --force --skip` every
value is plain, after enable and the same none is; the keys stay."""
import support
from support import LabTest, names

SECRETS = 120
KEY = "aescbckey"


class DisableEnableTest(LabTest):
    def test_disable_then_enable(self):
        with self.lab(SECRETS, servers=2, members=1) as lab:
            self.said(self.run_cli(lab, "disable"), "secrets-encryption disabled")
            self.assertEqual(names(lab), lab.restarts())
            self.assert_status(lab, enabled="Disabled", stage="start", rows=[(False, "AES-CBC", KEY)])
            self.assertEqual({"plain": 0, f"aescbc:{KEY}": SECRETS}, lab.count_by_key(), "disable alone rewrites nothing")
            self.reencrypt(lab)
            self.assertEqual({"plain": SECRETS}, lab.count_by_key())
            self.assert_status(lab, enabled="Disabled", stage="start", rows=[(False, "AES-CBC", KEY)])
            self.assert_readable(lab, SECRETS)

            self.said(self.run_cli(lab, "enable"), "secrets-encryption enabled")
            self.assertEqual(names(lab) * 2, lab.restarts())
            self.assert_status(lab, stage="start", rows=[(True, "AES-CBC", KEY)])
            self.reencrypt(lab)
            self.assertEqual({"plain": 0, f"aescbc:{KEY}": SECRETS}, lab.count_by_key())
            self.assert_status(lab, stage="start", rows=[(True, "AES-CBC", KEY)])
            self.assert_readable(lab, SECRETS)
            self.assertEqual({KEY}, lab.key_names(), "keys neither come nor go")

    def reencrypt(self, lab):
        """Rewrites everything and restarts nobody."""
        before = lab.restarts()
        result = self.run_cli(lab, "reencrypt", "--force", "--skip")
        self.assertRegex(result.stdout, r"(?m)^reencryption (started|finished)$")
        self.assertEqual(before, lab.restarts())


if __name__ == "__main__":
    support.main()
