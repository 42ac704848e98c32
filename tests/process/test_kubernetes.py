"""deploy/kubernetes as kubectl renders it, against the schemas of tests/kubernetes, and against each other: selectors meet labels,
ports meet names, volumes meet mounts, and the daemon takes the arguments and variables that the containers give it."""

import json
import os
import re
import subprocess
import sys
import unittest

try:
    import jsonschema
    import yaml
except ImportError:  # another Python than Debian's, for which its packages are not
    if sys.executable == "/usr/bin/python3":
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", *sys.argv])

from certificates import Authority
from harness import OBSERVERD, ROOT, DaemonTest
from keys import KeyFile, id_of

FOLDER = os.path.join(ROOT, "deploy", "kubernetes")
with open(os.path.join(ROOT, "tests", "kubernetes", "schemas.json"), encoding="utf-8") as f:
    SCHEMAS = json.load(f)


def rendered(overlay):
    done = subprocess.run(["kubectl", "kustomize", os.path.join(FOLDER, "overlays", overlay)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def read(path):
    with open(os.path.join(FOLDER, path), encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


class KubernetesTest(DaemonTest):
    def check(self, document):
        kind = "%s %s" % (document["apiVersion"], document["kind"])
        self.assertIn(kind, SCHEMAS["kinds"])
        self.assertEqual(set(document), {"apiVersion", "kind", "metadata", "spec"})
        schema = dict(SCHEMAS["kinds"][kind], definitions=SCHEMAS["definitions"])
        jsonschema.Draft7Validator(schema).validate(document["spec"])
        if kind != "v1 Pod":
            jsonschema.Draft7Validator(dict(SCHEMAS["definitions"]["meta"], definitions=SCHEMAS["definitions"])).validate(document["metadata"])

    def check_pod(self, pod, volumes):
        known = {v["name"] for v in pod.get("volumes", [])} | set(volumes)
        for container in pod["containers"]:
            mounts = container.get("volumeMounts", [])
            self.assertLessEqual({m["name"] for m in mounts}, known)
            self.assertEqual(len({m["mountPath"] for m in mounts}), len(mounts))
            names = {p.get("name") for p in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                for how in ("httpGet", "tcpSocket"):
                    if how in container.get(probe, {}):
                        self.assertIn(container[probe][how]["port"], names)
                command = container.get(probe, {}).get("exec", {}).get("command")
                if command is not None:
                    self.assertEqual(command[:3], ["/usr/bin/observerctl", "status", "--ready"])

    def check_daemon(self, container):
        """observerd takes what the container gives it: --check-config, with the files that the volumes would bring."""
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        bus = id_of(keys.add("bus", "ingest", "read"))
        args = [re.sub(r"/etc/observer/keys/keys\.json", keys.path, a) for a in container.get("args", [])]
        env = {"PATH": os.environ["PATH"], "OBSERVER_DATA_DIR": os.path.join(self.tmp, "data")}
        with open(os.path.join(ROOT, "deploy", "Dockerfile"), encoding="utf-8") as file:
            env.update(re.findall(r"(OBSERVER_[A-Z]+)=(\S+)", file.read()))
        env["OBSERVER_DATA_DIR"] = os.path.join(self.tmp, "data")
        for variable in container.get("env", []):
            if "value" in variable:
                env[variable["name"]] = variable["value"].replace("$(BUS_KEY_ID)", bus)
        authority = Authority(self.tmp)
        pair = authority.issue("server")
        for name, path in (("tls.crt", pair.cert), ("tls.key", pair.key), ("ca.crt", authority.cert)):
            args = [a.replace("/etc/observer/tls/" + name, path) for a in args]
        done = subprocess.run([OBSERVERD, *args, "--check-config"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def check_instance(self, documents):
        """A StatefulSet and what belongs to it: selectors meet labels, ports meet names, and the daemon takes its arguments."""
        for document in documents:
            self.check(document)
            self.assertEqual(document["metadata"]["namespace"], "observer")
        by_kind = {d["kind"]: d["spec"] for d in documents}
        labels = by_kind["StatefulSet"]["template"]["metadata"]["labels"]
        for selector in (by_kind["StatefulSet"]["selector"]["matchLabels"], by_kind["Service"]["selector"],
                         by_kind["NetworkPolicy"]["podSelector"]["matchLabels"], by_kind["PodMonitor"]["selector"]["matchLabels"],
                         by_kind["PodDisruptionBudget"]["selector"]["matchLabels"]):
            self.assertEqual(selector, labels)
        services = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Service"}
        self.assertEqual(services[by_kind["StatefulSet"]["serviceName"]]["clusterIP"], "None")
        pod = by_kind["StatefulSet"]["template"]["spec"]
        container = pod["containers"][0]
        ports = {p["name"]: p["containerPort"] for p in container["ports"]}
        for service in services.values():
            for port in service["ports"]:
                self.assertEqual(ports[port["targetPort"]], port["port"])
        self.assertEqual({p["port"] for p in by_kind["NetworkPolicy"]["ingress"][0]["ports"]}, set(ports.values()))
        dns = by_kind["NetworkPolicy"]["egress"][0]["to"][0]["podSelector"]["matchLabels"]
        self.assertEqual(dns, {"k8s-app": "kube-dns"})
        self.assertIn(by_kind["PodMonitor"]["podMetricsEndpoints"][0]["port"], ports)
        self.check_pod(pod, [c["metadata"]["name"] for c in by_kind["StatefulSet"]["volumeClaimTemplates"]])
        self.check_daemon(container)
        return by_kind

    def test_overlays(self):
        for overlay in ("single", "tls"):
            documents = rendered(overlay)
            kinds = [d["kind"] for d in documents]
            self.assertEqual(sorted(kinds), ["NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "Service", "Service", "StatefulSet"])
            self.check_instance(documents)

    def test_cluster(self):
        """Edges and workers, each with its own labels: a producer's connection never comes to a worker. Both reach NATS."""
        parts = {}
        for document in rendered("cluster"):
            parts.setdefault(document["metadata"]["labels"]["app.kubernetes.io/name"], []).append(document)
        self.assertEqual(sorted(parts), ["observer", "observer-worker"])
        self.assertEqual(sorted(d["kind"] for d in parts["observer-worker"]),
                         ["NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "Service", "StatefulSet"])
        for name, option in (("observer", "OBSERVER_FORWARD"), ("observer-worker", "OBSERVER_JETSTREAM")):
            found = self.check_instance(parts[name])
            template = found["StatefulSet"]["template"]
            self.assertEqual([c["labelSelector"]["matchLabels"] for c in template["spec"]["topologySpreadConstraints"]],
                             [template["metadata"]["labels"]])
            env = {v["name"]: v.get("value") for v in template["spec"]["containers"][0]["env"]}
            host, port = re.fullmatch(r"nats://(\w+):(\d+)", env[option]).groups()
            self.assertEqual(found["NetworkPolicy"]["egress"][1],
                             {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": host}}}],
                              "ports": [{"protocol": "TCP", "port": int(port)}]})

    def test_sidecar(self):
        for document in read("examples/sidecar.yaml"):
            self.check(document)
            self.check_pod(document["spec"], [])

    def test_everything_is_looked_at(self):
        found = sorted(os.listdir(FOLDER)) + sorted(os.listdir(os.path.join(FOLDER, "overlays"))) + sorted(os.listdir(os.path.join(FOLDER, "examples")))
        self.assertEqual(found, ["base", "examples", "overlays", "cluster", "single", "tls", "sidecar.yaml"])
        listed = read("base/kustomization.yaml")[0]["resources"]
        self.assertEqual(sorted(listed + ["kustomization.yaml"]), sorted(os.listdir(os.path.join(FOLDER, "base"))))


if __name__ == "__main__":
    unittest.main()
