# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl migrate on the configurations that real installers write: each result loads in the
containerds concerned, says what it should, leaves everything else byte for byte, and a second run
finds nothing to do."""
import subprocess
import tomllib
import unittest

from tests.integration.harness import Folder
from tests.integration.harness.parts import environment
from tests.integration.migrate_parts import (PLUGINS, Site, binary_of, expected_registry, lines_that_must_not_change,
                                             registry_of, without_registry)

OLD, ALL = ("1.6", "1.7"), ("1.6", "1.7", "2")
MIRROR = "https://mirror.example.com"
PULL = {"capabilities": ["pull"]}

SECRETS = ("p4ss-of-the-mirror", "k3s-pass-word", "secret-of-three", "was-here-in-a-comment", "alices-word", "bobs-word",
           "Ym9iOmJvYnMtd29yZA==", "an-identity-token", "carols-word", "eves-word", "the-private-key", "ZGF2ZTpkYXZlcy13b3Jk")

# file -> (format, containerds that load it, our upstreams, our mirrors' tables, directories of certs.d)
CASES = {
    "kubespray.toml": (2, ALL, {
        "docker.io": {"mirrors": ["https://hub-mirror.corp.example.com"]},
        "quay.io": {"mirrors": ["http://10.20.0.5:5010"]},
        "hub-mirror.corp.example.com": {"skip_verify": True},
    }, {"https://hub-mirror.corp.example.com": {
        "skip_verify": True, "credentials": "@/ours/credentials/hub-mirror.corp.example.com"}}, {
        "docker.io": {"server": "https://registry-1.docker.io",
                      "host": {"https://hub-mirror.corp.example.com": {**PULL, "skip_verify": True}}},
        "quay.io": {"server": "https://quay.io", "host": {"http://10.20.0.5:5010": PULL}},
        "hub-mirror.corp.example.com": {"server": "https://hub-mirror.corp.example.com", "skip_verify": True, "host": {}},
    }),
    "gke.toml": (2, ALL, {"docker.io": {"mirrors": ["https://mirror.gcr.io"]}}, {}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {"https://mirror.gcr.io": PULL}}}),
    "format-1.toml": (1, OLD, {
        "docker.io": {"mirrors": ["https://mirror.corp.example.com"]},
        "k8s.gcr.io": {"mirrors": ["https://mirror.corp.example.com:5001"]},
    }, {}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {"https://mirror.corp.example.com": PULL}},
        "k8s.gcr.io": {"server": "https://k8s.gcr.io", "host": {"https://mirror.corp.example.com:5001": PULL}},
    }),
    "format-3.toml": (3, ("2",), {
        "docker.io": {"mirrors": ["https://mirror.corp.example.com"]},
        "private.example.com": {"mode": "passthrough"},
    }, {}, {"docker.io": {"server": "https://registry-1.docker.io", "host": {"https://mirror.corp.example.com": PULL}}}),
    "comments.toml": (2, ALL, {"docker.io": {"mirrors": [MIRROR]}}, {}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {MIRROR: PULL}}}),
    "crlf.toml": (2, ALL, {"docker.io": {"mirrors": [MIRROR]}}, {}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {MIRROR: PULL}}}),
    "dotted.toml": (2, ALL, {"docker.io": {"mirrors": [MIRROR]}, "mirror.example.com": {"skip_verify": True}},
                    {MIRROR: {"skip_verify": True}}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {MIRROR: {**PULL, "skip_verify": True}}},
        "mirror.example.com": {"server": MIRROR, "skip_verify": True, "host": {}}}),
    "inline.toml": (2, ALL, {
        "docker.io": {"mirrors": [MIRROR]}, "ghcr.io": {"mirrors": [MIRROR + "/v2/ghcr"]},
        "mirror.example.com": {"skip_verify": True},
    }, {MIRROR: {"skip_verify": True}, MIRROR + "/v2/ghcr": {"skip_verify": True}}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {MIRROR: {**PULL, "skip_verify": True}}},
        "ghcr.io": {"server": "https://ghcr.io", "host": {
            MIRROR + "/v2/ghcr": {**PULL, "override_path": True, "skip_verify": True}}},
        "mirror.example.com": {"server": MIRROR, "skip_verify": True, "host": {}}}),
    "conflict.toml": (2, ALL, {
        "docker.io": {"mirrors": ["https://in-config.example.com"]},
        "quay.io": {"mirrors": ["https://in-config.example.com"]},
        "in-config.example.com": {"ca": "@/ca.pem"},
    }, {"https://in-config.example.com": {"ca": "@/ca.pem"}}, {
        "docker.io": {"server": "https://registry-1.docker.io",
                      "host": {"https://in-config.example.com": {**PULL, "ca": ["@/ca.pem"]}}},
        "quay.io": {"server": "https://quay.io", "host": {"https://in-config.example.com": {**PULL, "ca": ["@/ca.pem"]}}},
        "in-config.example.com": {"server": "https://in-config.example.com", "ca": ["@/ca.pem"], "host": {}}}),
    "wildcard.toml": (2, ALL, {
        "default": {"mirrors": ["http://10.20.0.5:5000"]},
        "registry.corp.example.com": {"server": "http://registry.corp.example.com:5000", "mirrors": []},
        "ghcr.io": {"mirrors": []},
        "tls.corp.example.com": {"skip_verify": True, "mirrors": ["http://10.20.0.5:5000"]},
    }, {}, {
        "_default": {"host": {"http://10.20.0.5:5000": PULL}},
        "tls.corp.example.com": {"server": "https://tls.corp.example.com", "skip_verify": True,
                                 "host": {"http://10.20.0.5:5000": PULL}},
        "registry.corp.example.com": {"server": "http://registry.corp.example.com:5000", "host": {}},
        "ghcr.io": {"server": "https://ghcr.io", "host": {}},
        "127.0.0.1_7780_": {"server": "http://127.0.0.1:7780", "host": {}}}),
    "tls.toml": (2, ALL, {
        "docker.io": {"mirrors": ["https://harbor.example.com/v2/hub",
                                  "https://artifactory.example.com/artifactory/api/docker/hub"]},
        "harbor.example.com": {"ca": "@/ca.pem", "client_cert": "@/client.pem", "client_key": "@/client.key"},
        "registry.example.com:5000": {"ca": "@/ca.pem"},
        "insecure.example.com": {"skip_verify": True},
    }, {"https://harbor.example.com/v2/hub": {
        "ca": "@/ca.pem", "client_cert": "@/client.pem", "client_key": "@/client.key"}}, {
        "docker.io": {"server": "https://registry-1.docker.io", "host": {
            "https://harbor.example.com/v2/hub": {
                **PULL, "override_path": True, "ca": ["@/ca.pem"], "client": [["@/client.pem", "@/client.key"]]},
            "https://artifactory.example.com/artifactory/api/docker/hub": PULL}},
        "harbor.example.com": {"server": "https://harbor.example.com", "ca": ["@/ca.pem"],
                               "client": [["@/client.pem", "@/client.key"]], "host": {}},
        "registry.example.com_5000_": {"server": "https://registry.example.com:5000", "ca": ["@/ca.pem"], "host": {}},
        "insecure.example.com": {"server": "https://insecure.example.com", "skip_verify": True, "host": {}}}),
    "auth.toml": (2, ALL, {
        "docker.io": {"mirrors": ["https://user.example.com", "https://basic.example.com:8443",
                                  "https://token.example.com"]},
    }, {
        "https://user.example.com": {"credentials": "@/ours/credentials/user.example.com"},
        "https://basic.example.com:8443": {"credentials": "@/ours/credentials/basic.example.com_8443"},
    }, {"docker.io": {"server": "https://registry-1.docker.io", "host": {
        "https://user.example.com": PULL, "https://basic.example.com:8443": PULL, "https://token.example.com": PULL}}}),
    "auths.toml": (2, ALL, None, {}, {}),
    "eks-ami.toml": (2, ALL, None, {}, {}),
    "eks-nodeadm.toml": (3, ("2",), None, {}, {}),
    "two-directories.toml": (3, ("2",), None, {}, {}),
}
UNCHANGED = {"kubeadm.toml": ALL, "empty.toml": OLD, "migrated.toml": ALL, "microk8s.toml": ALL}
OWN_CERTS = ("conflict.toml", "eks-ami.toml", "eks-nodeadm.toml", "two-directories.toml", "migrated.toml")


def filled(site, value):
    """"@" in all strings of the expectation as the site's folder."""
    if isinstance(value, dict):
        return {key: filled(site, item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(site, item) for item in value]
    return value.replace("@/", f"{site.home}/") if isinstance(value, str) else value


class Migrate(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())

    def assert_quiet(self, *results):
        for result in results:
            for secret in SECRETS:
                self.assertNotIn(secret, result.out + result.err)

    def assert_only_sections_changed(self, before, after, version, certs):
        old, new = tomllib.loads(before.decode()), tomllib.loads(after.decode())
        self.assertEqual(without_registry(new, version), without_registry(old, version))
        self.assertEqual(registry_of(new, version) or {}, expected_registry(registry_of(old, version) or {}, certs))
        self.assertEqual([], lines_that_must_not_change(before.decode(), after.decode()))

    def assert_loads(self, site, versions):
        for which in versions:
            registry = site.dump(which)
            self.assertEqual(registry["config_path"], str(site.certs))
            self.assertFalse(registry.get("mirrors"))
            self.assertFalse(registry.get("auths"))
            for entry in registry.get("configs", {}).values():
                self.assertFalse(entry.get("tls"))

    def run_all(self, site, before):
        """Shown, written, and nothing left; the files after it."""
        shown = site.migrate()
        self.assertEqual(shown.code, 1, shown)
        self.assertEqual(site.files(), before, "shown, not written")
        json = site.migrate("-o", "json")
        self.assertEqual((json.code, json.json["written"]), (1, False))
        written = site.migrate("--write")
        self.assertEqual(written.code, 0, written)
        self.assertEqual([file["path"] for file in json.json["files"]],
                         [line.removeprefix("wrote ") for line in written.lines])
        after = site.files()
        again = site.migrate("--write")
        self.assertEqual((again.code, again.out), (0, "nothing to do\n"), again)
        self.assertEqual(site.files(), after, "a second run changes nothing")
        self.assert_quiet(shown, json, written, again)
        return after

    def check_case(self, name):
        version, versions, upstreams, mirrors, directories = CASES[name]
        site = Site(self.folder, name, versions[0], None if name in OWN_CERTS else "new-certs.d")
        before = site.files()
        after = self.run_all(site, before)
        main = site.main.relative_to(site.home)
        self.assert_only_sections_changed(before[main], after[main], version, site.certs)
        self.assert_loads(site, versions)
        self.assertEqual({path.name for path in site.certs.iterdir()} if site.certs.exists() else set(), set(directories))
        for directory, expected in directories.items():
            self.assertEqual(site.hosts(directory), filled(site, expected))
        if upstreams is None:
            self.assertFalse(site.output.exists())
        else:
            expected = {"upstream": filled(site, upstreams), **({"mirror": filled(site, mirrors)} if mirrors else {})}
            self.assertEqual(site.ours(), expected)

    def test_what_needs_nothing_is_left_alone(self):
        for name, versions in UNCHANGED.items():
            with self.subTest(name):
                site = Site(self.folder, name, versions[0], None if name in OWN_CERTS else "new-certs.d")
                before = site.files()
                result = site.migrate("--write")
                self.assertEqual((result.code, result.out), (0, "nothing to do\n"), result)
                self.assertEqual(site.files(), before)

    def test_the_default_configurations_lose_their_empty_sections(self):
        for which in ALL:
            with self.subTest(which):
                site = Site(self.folder, "default.toml", which, "new-certs.d")
                default = subprocess.run([binary_of(which), "config", "default"], capture_output=True, check=True,
                                         env=environment()).stdout
                site.main.write_bytes(default)
                version = 3 if which == "2" else 2
                if not registry_of(tomllib.loads(default.decode()), version).get("mirrors") is not None:
                    self.assertEqual(site.migrate("--write").out, "nothing to do\n")  # 2 has none of them
                    continue
                after = self.run_all(site, site.files())
                self.assert_only_sections_changed(default, after[site.main.relative_to(site.home)], version, site.certs)
                self.assert_loads(site, [which])

    def test_sections_are_edited_in_the_file_that_has_them(self):
        site = Site(self.folder, "imports/config.toml", "1.7", "new-certs.d")
        before = site.files()
        after = self.run_all(site, before)
        changed = {str(path) for path in before if before[path] != after[path]}
        self.assertEqual(changed, {"imports/config.toml", "imports/conf.d/10-mirrors.toml"})
        for name in changed:
            path = site.home.joinpath(name).relative_to(site.home)
            self.assert_only_sections_changed(before[path], after[path], 2,
                                              site.certs if "10-mirrors" in name else None)
        self.assert_loads(site, ALL)
        # the main file's mirrors had no effect in 1.x, which takes a plugin's table from the last file
        self.assertEqual(site.ours()["upstream"], {"docker.io": {"mirrors": [MIRROR]}})

    def test_containerd_2_merges_the_tables_of_imports(self):
        site = Site(self.folder, "imports/config.toml", "2", "new-certs.d")
        self.run_all(site, site.files())
        self.assert_loads(site, ALL)
        self.assertEqual(site.ours()["upstream"], {
            "ghcr.io": {"mirrors": ["https://old-mirror.example.com"]}, "docker.io": {"mirrors": [MIRROR]}})

    def test_the_file_with_the_directory_is_written_last(self):
        site = Site(self.folder, "imports/config.toml", "2", "new-certs.d")
        files = [file["path"] for file in site.migrate("-o", "json").json["files"]]
        self.assertEqual(files, [str(path) for path in (
            site.certs / "ghcr.io/hosts.toml", site.certs / "docker.io/hosts.toml", site.output, site.main,
            site.home / "imports/conf.d/10-mirrors.toml")])


def add_case(name):
    def test(self):
        self.check_case(name)
    setattr(Migrate, "test_" + name.removesuffix(".toml").replace("-", "_"), test)


assert set(PLUGINS) >= {case[0] for case in CASES.values()}
for case_name in CASES:
    add_case(case_name)

if __name__ == "__main__":
    unittest.main()
