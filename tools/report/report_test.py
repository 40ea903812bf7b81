"""What the report reads and prints."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import report  # noqa: E402

GTEST = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" disabled="0" errors="0" time="1.5" name="AllTests">
  <testsuite name="ReplayTest" tests="4" failures="1" disabled="0" skipped="1" errors="0" time="1.5">
    <testcase name="ReconnectMissesNothing" status="run" result="completed" time="0.5" classname="ReplayTest">
      <properties><property name="requirement" value="WS-6, WS-5"/></properties>
    </testcase>
    <testcase name="GapIsExplicit" status="run" result="completed" time="1" classname="ReplayTest">
      <properties><property name="requirement" value="WS-7"/></properties>
      <failure message="no &lt;gap&gt;" type=""/>
    </testcase>
    <testcase name="NeedsMore" status="run" result="skipped" time="0" classname="ReplayTest"><skipped message="x"/></testcase>
    <testcase name="NamesNonsense" status="run" result="completed" time="0" classname="ReplayTest">
      <properties><property name="requirement" value="ZZ-99"/></properties>
    </testcase>
  </testsuite>
</testsuites>"""

BAZEL = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="tools/lint/lint_test" tests="1" failures="0" errors="0">
<testcase name="tools/lint/lint_test" status="run" duration="1" time="1"></testcase>
<system-out>fine</system-out></testsuite></testsuites>"""


class ReportTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, path, text):
        full = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return full

    def run_main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = report.main(arguments)
        return code, out.getvalue(), err.getvalue()

    def test_reads_googletest_results(self):
        cases = report.parse_xml("//testing/integration/websocket:replay_test", GTEST)
        self.assertEqual([case.result for case in cases], ["passed", "failed", "skipped", "passed"])
        self.assertEqual(cases[0].requirements, ("WS-6", "WS-5"))
        self.assertEqual(cases[0].name, "ReplayTest.ReconnectMissesNothing")
        self.assertEqual(cases[0].category, "websocket")

    def test_counts_by_category_and_finds_gaps(self):
        self.write("logs/testing/integration/websocket/replay_test/test.xml", GTEST)
        self.write("logs/tools/lint/lint_test/test.xml", BAZEL)
        result = report.Report(report.merge_runs(report.read_testlogs(self.folder.name + "/logs", None)))
        rows = {folder: totals for folder, _, _, totals in result.by_category()}
        self.assertEqual((rows["websocket"].tests, rows["websocket"].passed, rows["websocket"].failed), (4, 2, 1))
        self.assertEqual(rows["auth"].tests, 0)
        self.assertEqual(result.others().tests, 1)
        self.assertNotIn("WS-6", result.gaps())
        # A failing test covers nothing.
        self.assertIn("WS-7", result.gaps())
        self.assertEqual(len(report.all_requirements()), 56)
        self.assertEqual([ident for ident, _ in result.unknown_ids()], ["ZZ-99"])

    def test_shards_and_runs_are_of_one_target(self):
        for shard in ("shard_1_of_2", "shard_2_of_2", "shard_1_of_2_run_1_of_3"):
            self.write(f"logs/a/b_test/{shard}/test.xml", BAZEL)
        self.write("logs/a/c_test/run_1_of_20/test.xml", BAZEL)
        cases = report.read_testlogs(self.folder.name + "/logs", None)
        self.assertEqual({case.target for case in cases}, {"//a:b_test", "//a:c_test"})
        self.assertEqual(len(report.merge_runs(cases)), 2)

    def test_one_failed_run_of_many_is_a_failure(self):
        good = report.Case("//a:b", "X.Y", "passed", 1)
        bad = report.Case("//a:b", "X.Y", "failed", 2)
        for cases in ([good, bad, good], [bad, good]):
            merged = report.merge_runs(cases)
            self.assertEqual([case.result for case in merged], ["failed"])

    def test_results_of_removed_tests_do_not_count(self):
        self.write("logs/a/old_test/test.xml", BAZEL)
        self.write("logs/a/new_test/test.xml", BAZEL)
        self.write("a/BUILD.bazel", 'bulkhead_cc_test(\n    name = "new_test",\n)')
        cases = report.read_testlogs(self.folder.name + "/logs", self.folder.name)
        self.assertEqual([case.target for case in cases], ["//a:new_test"])

    def test_a_torn_result_is_a_failure(self):
        self.write("logs/a/b_test/test.xml", GTEST[:200])
        cases = report.read_testlogs(self.folder.name + "/logs", None)
        self.assertEqual([case.result for case in cases], ["failed"])

    def test_reads_a_build_event_file(self):
        xml = self.write("x/test.xml", GTEST)
        events = [
            {"id": {"testResult": {"label": "//a:b_test"}},
             "testResult": {"status": "FAILED", "testActionOutput": [{"name": "test.xml", "uri": "file://" + xml}]}},
            {"id": {"testSummary": {"label": "//a:b_test"}}, "testSummary": {"overallStatus": "FAILED"}},
            {"id": {"testSummary": {"label": "//a:slow_test"}}, "testSummary": {"overallStatus": "TIMEOUT"}},
            {"id": {"targetCompleted": {"label": "//a:broken_test"}}, "completed": {}},
            {"id": {"targetCompleted": {"label": "//a:fine"}}, "completed": {"success": True}},
            {"id": {"targetCompleted": {"label": "//a:other"}}, "aborted": {"reason": "SKIPPED"}},
        ]
        path = self.write("events.json", "\n".join(json.dumps(event) for event in events) + "\n{\"torn")
        cases = report.merge_runs(report.read_events(path))
        failed = {(case.target, case.name) for case in cases if case.result == "failed"}
        self.assertEqual(
            failed,
            {
                ("//a:b_test", "ReplayTest.GapIsExplicit"),
                ("//a:slow_test", "(timeout)"),
                ("//a:broken_test", "(failed to build)"),
            },
        )
        code, out, _ = self.run_main("--events", path, "--totals")
        self.assertEqual((code, out), (0, "2 passed, 3 failed, 1 skipped\n"))

    def test_prints_every_format(self):
        self.write("logs/testing/integration/websocket/replay_test/test.xml", GTEST)
        logs = self.folder.name + "/logs"
        for form, marks in {
            "text": ("Events and WebSocket", "WS-6:1", "WS-7:gap", "Gaps: AE-1"),
            "markdown": ("| Events and WebSocket | 4 | 25 | 2 | 1 | 1 |", "| WS-7 | gap |"),
            "html": ("<td>Events and WebSocket</td>", '<tr class="gap"><td>WS-7</td>'),
        }.items():
            code, out, _ = self.run_main("--testlogs", logs, "--format", form)
            self.assertEqual(code, 0)
            for mark in marks:
                self.assertIn(mark, out)

    def test_writes_a_file(self):
        self.write("logs/a/b_test/test.xml", BAZEL)
        out = os.path.join(self.folder.name, "report.md")
        self.assertEqual(self.run_main("--testlogs", self.folder.name + "/logs", "--output", out)[0], 0)
        with open(out, encoding="utf-8") as file:
            self.assertIn("All", file.read())

    def test_says_what_to_do_without_results(self):
        code, _, err = self.run_main("--testlogs", self.folder.name + "/none")
        self.assertEqual(code, 2)
        self.assertIn("tools/bazel test //...", err)


if __name__ == "__main__":
    unittest.main()
