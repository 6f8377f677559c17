"""That the benchmark's reader sees what it is there for: what it lets pass would count as a figure."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cluster as clusters  # noqa: E402
from cluster import Cluster, Wrong  # noqa: E402
from figures import Report  # noqa: E402

sys.path.insert(0, str(clusters.TOP / "deploy" / "lab"))
import kube  # noqa: E402

COUNT = 40


def path(number):
    return "/registry/secrets/" + "/".join(kube.place(number))


class Reader(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(1, 0)
        cls.cluster.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def setUp(self):
        self.cluster.fill(COUNT)
        self.etcd = self.cluster.lab.etcd
        self.cluster.check(0)

    def raw(self, number):
        return self.etcd.get(path(number))[0].value

    def put(self, number, value):
        self.etcd.call("kv/put", {"key": clusters.labs.etcd._encode(path(number)),
                                  "value": clusters.labs.etcd._encode(value)})

    def wrong(self, text, expected=0):
        with self.assertRaisesRegex(Wrong, text):
            self.cluster.check(expected)

    def test_one_is_gone(self):
        self.etcd.delete(path(7))
        self.wrong("39 of 40 objects were seen")

    def test_one_does_not_open(self):
        value = bytearray(self.raw(3))
        self.put(3, bytes(value[:-16]))
        self.wrong("objects were (opened|right)")

    def test_one_has_another_ones_content(self):
        self.put(5, self.raw(8))
        self.wrong("39 of 40 objects were right")

    def test_one_was_left_under_the_old_key(self):
        old = self.raw(11)
        self.cluster.run("txns", "--batch", 10)
        self.cluster.check(COUNT)
        self.put(11, old)
        self.wrong("39 values are under the new key, not 40", COUNT)

    def test_a_whole_rewrite_passes(self):
        self.cluster.run("job", "--kind", "rewrite", "--engine", "datastore", "--offline")
        self.cluster.check(COUNT)


class Figures(unittest.TestCase):
    def test_median_ratio_and_wrong(self):
        report = Report()
        for value in (3, 1, 20):
            report.add("a", "c", "fast", "x/s", value)
        report.add("a", "c", "limit", "x/s", 6)
        report.ratio("a", "c", "ratio", "fast", "limit")
        self.assertEqual(report.json()["sections"]["a"]["c"]["fast"],
                         {"median": 3, "min": 1, "max": 20, "runs": 3, "unit": "x/s"})
        self.assertEqual(report.median("a", "c", "ratio"), 0.5)
        self.assertIn("limit", report.table())


if __name__ == "__main__":
    unittest.main()
