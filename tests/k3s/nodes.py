"""Node objects: where K3s publishes stage and hash of a server's config."""
import https
import kube

ANNOTATION = "k3s.io/encryption-config-hash"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
LABELS = {CONTROL_PLANE: "true", "node-role.kubernetes.io/master": "true"}
ETCD_LABEL = {"node-role.kubernetes.io/etcd": "true"}


def client(name, url, ca, admin, timeout=30):
    """The API server, as K3s itself calls it: with a client certificate of system:masters, a (file, key) pair."""
    found = kube.Kube(name, url, ca, "", timeout)
    found.http = https.Client(url, https.context(ca, *admin), {}, timeout)
    return found


class Nodes:
    """The Node objects as one server sees them; `name` is its own."""

    def __init__(self, api, name):
        self.api, self.name = api, name

    def _path(self):
        return f"/api/v1/nodes/{self.name}"

    def create(self, labels, annotations, kubelet_version):
        """Makes the own node, as the kubelet would, or gives the one that is there its labels."""
        metadata = {"name": self.name, "labels": labels, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata,
                "status": {"nodeInfo": {"kubeletVersion": kubelet_version}}}
        try:
            self.api.call("POST", "/api/v1/nodes", body)
        except kube.KubeError as error:
            if error.status != 409:
                raise
            self._patch({"labels": labels, "annotations": annotations})

    def _patch(self, metadata):
        self.api.call("PATCH", self._path(), {"metadata": metadata}, content_type="application/merge-patch+json")

    def annotate(self, value):
        self._patch({"annotations": {ANNOTATION: value}})

    def own(self):
        return self.api.call("GET", self._path())

    def control_plane(self):
        """All control-plane nodes, in the API's order."""
        return self.api.call("GET", f"/api/v1/nodes?labelSelector={CONTROL_PLANE}%3Dtrue").get("items") or []
