"""Rotations of other files than K3s's: YAML, secretbox, aesgcm, several managed entries, and entries of
resources that are not ours to manage, which stay as they are."""
import json

import support
from support import LabTest, files, observe

SECRETS = 60
CONFIG_MAPS = 5


class ConfigFormatsTest(LabTest):
    def rotate(self, lab, **expected):
        with observe.Files(lab) as seen:
            self.run_cli(lab, "rotate-keys")
        name = self.assert_rotated(lab, seen, **expected)
        self.assert_readable(lab, SECRETS)
        return name

    def make_config_maps(self, lab):
        for i in range(CONFIG_MAPS):
            lab.clients()[0].call("POST", "/api/v1/namespaces/default/configmaps",
                                  {"metadata": {"name": f"settings-{i}"}, "data": {"number": str(i)}})

    def check_config_maps(self, lab):
        found = {o["metadata"]["name"]: o["data"] for o in lab.clients()[0].list("default", "configmaps")
                 if o["metadata"]["name"].startswith("settings-")}
        self.assertEqual({f"settings-{i}": {"number": str(i)} for i in range(CONFIG_MAPS)}, found)

    def test_yaml_and_secretbox_beside_an_entry_that_is_not_managed(self):
        foreign = files.entry(["configmaps"], "aescbc", "configmaps:own-key")
        with self.lab(SECRETS, servers=1, members=1, form="yaml",
                      entries=[foreign, files.entry(["secrets"], "secretbox")]) as lab:
            self.make_config_maps(lab)
            before, key = stored(lab, "configmaps"), foreign["providers"][0]["aescbc"]["keys"][0]
            name = self.rotate(lab, provider="secretbox", old="secretboxkey")
            text = lab.servers[0].encryption_config.read_text()
            self.assertFalse(text.lstrip().startswith("{"), "a YAML file stays YAML")
            self.assertEqual([(key["name"], key["secret"])], [k for k in files.keys_in(text) if k[0] != name])
            self.assertEqual(before, stored(lab, "configmaps"), "values that are not managed were rewritten")
            self.check_config_maps(lab)
            self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "XSalsa20-POLY1305", name)])

    def test_aesgcm_in_two_managed_entries(self):
        entries = [files.entry(["secrets"], "aesgcm"), files.entry(["configmaps"], "aesgcm")]
        entries[1]["providers"] = entries[0]["providers"]  # the same key, as an administrator writes them
        with self.lab(SECRETS, servers=1, members=1, resources=("secrets", "configmaps"), entries=entries) as lab:
            self.make_config_maps(lab)
            name = self.rotate(lab, provider="aesgcm", old="aesgcmkey", resources=("secrets", "configmaps"))
            after = json.loads(lab.servers[0].encryption_config.read_text())["resources"]
            self.assertEqual([["secrets"], ["configmaps"]], [e["resources"] for e in after])
            self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "AES-GCM", name)])
            self.check_config_maps(lab)

    def test_a_plain_cluster_becomes_encrypted_and_plain_again(self):
        """What K3s cannot do: encryption was never on. Then the whole way back."""
        plain = {"resources": ["secrets"], "providers": [{"identity": {}}]}
        with self.lab(SECRETS, servers=1, members=1, entries=[plain]) as lab:
            self.assertEqual({"plain": SECRETS}, used(lab))
            self.run_cli(lab, "rotate-keys")
            self.assertEqual(SECRETS, sum(used(lab).values()))
            self.assertEqual(0, lab.count_by_key()["plain"])
            self.assert_readable(lab, SECRETS)
            self.run_cli(lab, "disable")
            self.run_cli(lab, "reencrypt", "--force", "--skip")
            self.assertEqual({"plain": SECRETS}, used(lab))
            self.assert_readable(lab, SECRETS)


def used(lab):
    """Counts of the keys that values stand under."""
    return {key: count for key, count in lab.count_by_key().items() if count}


def stored(lab, resource):
    """The raw values of our objects of a resource."""
    return {kv.key: kv.value for kv in lab.etcd.range(f"/registry/{resource}/") if "settings-" in kv.key}


if __name__ == "__main__":
    support.main()
