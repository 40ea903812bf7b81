"""Each rule of the lint finds its violation, and leaves alone what is allowed."""

import io
import os
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402


def rules_found(path, text):
    return {finding.rule for finding in lint.check_file(path, text)}


# rule: [(path, violating text)...], [(path, text that is fine)...]
CASES = {
    "no-sleep": (
        [
            ("services/auth/a.cc", "std::this_thread::sleep_for(x);"),
            ("testing/base/a.cc", "  absl::SleepFor(absl::Seconds(1));"),
            ("services/auth/a.cc", "usleep(5);"),
        ],
        [
            ("services/common/time/a.cc", "absl::SleepFor(d);"),
            ("services/auth/a.cc", "// never call sleep_for(x)"),
            ("services/auth/a.cc", 'Log("usleep(5)");'),
        ],
    ),
    "no-wall-clock": (
        [
            ("services/agent/a.cc", "auto t = absl::Now();"),
            ("testing/harness/a.cc", "std::chrono::steady_clock::now()"),
        ],
        [("services/common/time/a.cc", "return absl::Now();"), ("services/agent/a.cc", "clock.Now();")],
    ),
    "no-randomness": (
        [("services/agent/a.cc", "std::mt19937 g;"), ("services/agent/a.cc", "int x = rand();")],
        [("services/common/crypto/a.cc", "std::random_device d;"), ("services/agent/a.cc", "operand();")],
    ),
    "no-getenv": (
        [("services/agent/a.cc", 'std::getenv("HOME")')],
        [("services/common/config/a.cc", 'getenv("HOME")')],
    ),
    "crypto-headers": (
        [("services/auth/a.cc", "#include <openssl/evp.h>")],
        [("services/common/crypto/a.cc", "#include <openssl/evp.h>")],
    ),
    "sqlite-headers": (
        [("services/tool/a.cc", '#include "sqlite3.h"')],
        [("services/common/storage/a.cc", "#include <sqlite3.h>")],
    ),
    "grpc-headers": (
        [
            ("services/auth/core.cc", "#include <grpcpp/grpcpp.h>"),
            ("services/auth/core.h", '#include "bulkhead/auth/v1/auth_service.grpc.pb.h"'),
        ],
        [
            ("services/auth/auth_service.cc", "#include <grpcpp/grpcpp.h>"),
            ("services/bulkhead/main.cc", '#include "grpcpp/server.h"'),
            ("testing/harness/a.cc", '#include "grpcpp/server.h"'),
            ("services/auth/core.cc", '#include "bulkhead/auth/v1/user.pb.h"'),
        ],
    ),
    "no-mocks": (
        [("services/auth/a_test.cc", "MOCK_METHOD(int, F, (), (override));")],
        [("services/auth/a_test.cc", "int F() override;")],
    ),
    "no-disabled-tests": (
        [("services/auth/a_test.cc", "TEST(ATest, DISABLED_Works) {")],
        [("services/auth/a_test.cc", "TEST(ATest, DisabledUserIsRefused) {")],
    ),
    "no-exceptions-thrown": (
        [("services/auth/a.cc", "  throw std::runtime_error(x);")],
        [("services/auth/a.cc", "  // may throw on bad input"), ("testing/faults/a.cc", "throw Boom();")],
    ),
    "test-tags": (
        [
            ("services/auth/BUILD.bazel", '    tags = ["manual"],'),
            ("services/auth/BUILD.bazel", "    flaky = True,"),
        ],
        [("services/auth/BUILD.bazel", '    tags = ["WS-3"],')],
    ),
    "plain-cc-test": (
        [("services/auth/BUILD.bazel", "cc_test(")],
        [("services/auth/BUILD.bazel", "bulkhead_cc_test(")],
    ),
    "no-globs": (
        [("services/auth/BUILD.bazel", '    srcs = glob(["*.cc"]),')],
        [("services/auth/BUILD.bazel", '    srcs = ["globe.cc"],')],
    ),
    "no-machine-paths": (
        [("docs/a.md", "see /" + "home/ada/x"), ("services/auth/a.cc", 'Open("/' + 'root/x");')],
        [("docs/a.md", "see ~/x or services/agent/works/x"), ("docs/a.md", "GET /v1/homes/x")],
    ),
    "no-registry-hosts": (
        [("tools/x.sh", "curl https://" + "registry.example.org/x")],
        [("docs/a.md", "https://json-schema.org/draft/2020-12/schema")],
    ),
    "no-unfinished-work": (
        [("services/auth/a.cc", "// TO" + "DO: more")],
        [("services/auth/a.cc", "// everything to do is done")],
    ),
    "header-guard": (
        [("services/auth/a.h", "#pragma once\n")],
        [("services/auth/a.h", "#ifndef SERVICES_AUTH_A_H_\n")],
    ),
    "build-name": ([("services/auth/BUILD", "")], [("services/auth/BUILD.bazel", "")]),
    "layering": (
        [
            ("services/auth/a.cc", '#include "services/tool/registry.h"'),
            ("services/common/time/a.h", '#include "services/auth/a.h"'),
            ("services/agent/a.cc", '#include "services/gateway/http.h"'),
            ("services/agent/a.cc", '#include "testing/base/matchers.h"'),
            ("services/gateway/a.cc", '#include "services/auth/core.h"'),
            ("services/auth/BUILD.bazel", 'cc_library(\n    name = "a",\n    deps = [\n        "//services/tool:registry",\n    ],\n)'),
            ("services/auth/BUILD.bazel", 'cc_library(\n    name = "a",\n    deps = ["//testing/base:matchers"],\n)'),
            ("proto/bulkhead/auth/v1/BUILD.bazel", 'cc_library(\n    name = "a",\n    deps = ["//services/common/status"],\n)'),
        ],
        [
            ("services/auth/a.cc", '#include "services/common/time/clock.h"'),
            ("services/bulkhead/main.cc", '#include "services/auth/core.h"'),
            ("services/auth/a_test.cc", '#include "testing/base/matchers.h"'),
            ("testing/harness/a.cc", '#include "services/gateway/http.h"'),
            ("services/auth/BUILD.bazel", 'bulkhead_cc_test(\n    name = "a",\n    deps = ["//testing/base:matchers"],\n)'),
            ("services/auth/BUILD.bazel", 'cc_library(\n    name = "a",\n    visibility = ["//services/tool:__pkg__"],\n)'),
            ("services/auth/BUILD.bazel", 'cc_library(\n    name = "a",\n    testonly = True,\n    deps = ["//testing/base:x"],\n)'),
        ],
    ),
}


class LintTest(unittest.TestCase):
    def test_each_rule_finds_its_violation(self):
        for rule, (bad, _) in CASES.items():
            for path, text in bad:
                with self.subTest(rule=rule, text=text):
                    self.assertIn(rule, rules_found(path, text))

    def test_each_rule_leaves_alone_what_is_allowed(self):
        for rule, (_, good) in CASES.items():
            for path, text in good:
                with self.subTest(rule=rule, text=text):
                    self.assertNotIn(rule, rules_found(path, text))

    def test_every_rule_has_a_case(self):
        self.assertEqual({rule.name for rule in lint.RULES} - set(CASES), set())

    def test_findings_name_the_line(self):
        findings = lint.check_file("services/auth/a.cc", "int a;\nusleep(5);\n")
        self.assertEqual([(f.line, f.rule) for f in findings], [(2, "no-sleep")])

    def test_block_comments_are_not_code(self):
        self.assertEqual(rules_found("services/auth/a.cc", "/* usleep(5);\n usleep(6); */ int a;"), set())
        self.assertEqual(rules_found("services/auth/a.cc", "/* x */ usleep(5);"), {"no-sleep"})

    def test_sources_must_be_utf8(self):
        _, findings = lint.check_all([("services/auth/a.cc", b"\xff\xfe")])
        self.assertEqual([f.rule for f in findings], ["utf-8"])

    def test_an_empty_tree_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            stdout, sys.stdout = sys.stdout, io.StringIO()
            stderr, sys.stderr = sys.stderr, io.StringIO()
            try:
                self.assertEqual(lint.main(["lint.py", folder]), 1)
            finally:
                sys.stdout, sys.stderr = stdout, stderr

    def test_reads_trees_and_archives_alike(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(os.path.join(folder, "services/auth"))
            with open(os.path.join(folder, "services/auth/a.cc"), "w", encoding="utf-8") as file:
                file.write("usleep(5);\n")
            archive = os.path.join(folder, "sources.tar")
            with tarfile.open(archive, "w") as tar:
                tar.add(os.path.join(folder, "services"), "services")
            for read in (lint.read_tree(folder), lint.read_tar(archive)):
                count, findings = lint.check_all(read)
                self.assertEqual((count, [f.rule for f in findings]), (1, ["no-sleep"]))


if __name__ == "__main__":
    unittest.main()
