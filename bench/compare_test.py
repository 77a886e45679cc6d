"""Tests of what the bench concludes; of its numbers none. Run by go test ./bench, or python3 -m unittest in this folder."""
import pathlib, tempfile, time, unittest
from unittest import mock

import cases, compare, make_model, make_rows, process, results
from cases.flops import step_flops


def rounds(*ratios, **more):
    return compare.summarize([compare.Row("row", 1, r, "s", r, **more) for r in ratios])


class Intervals(unittest.TestCase):
    def test_is_students_over_logarithms(self):
        # ln 2, ln 4, ln 8: mean ln 4, deviation ln 2; t(2) = 4.303, so a factor of 2^(4.303/√3) either way.
        low, high = compare.interval([2, 4, 8])
        self.assertAlmostEqual(low, 4 / 2 ** (4.303 / 3**0.5), places=9)
        self.assertAlmostEqual(high, 4 * 2 ** (4.303 / 3**0.5), places=9)

    def test_one_round_has_none(self):
        self.assertEqual(compare.interval([2]), (None, None))

    def test_many_rounds(self):
        low, high = compare.interval([1, 1.1] * 20)
        self.assertTrue(1.03 < low < 1.05 < high < 1.07)

    def test_summary_has_medians_and_most_memory(self):
        rows = [compare.faster("row", s, 10, peak=p, note=n) for s, p, n in [(1, 5, "a"), (2, 9, "b"), (5, 7, "a")]]
        s = compare.summarize(rows)
        self.assertEqual((s.row.ours, s.ratio, s.row.peak, s.rounds, s.notes), (2, 5, 9, 3, ("a", "b")))

    def test_ours_alone(self):
        s = compare.summarize([compare.faster("row", 1, None), compare.faster("row", 2, None)])
        self.assertEqual((s.row.ours, s.ratio, s.high), (1.5, None, None))


class Kept(unittest.TestCase):
    def test_fails_where_the_upper_limit_is_under(self):
        fast = rounds(4.0, 4.01, 4.02)
        self.assertIsNone(compare.falls_short("step", fast, 4.2))  # 0.95 · 4.2 = 3.99
        self.assertIn("step: row: 4.01", compare.falls_short("step", fast, 4.3))  # 4.085

    def test_noise_is_no_failure(self):
        self.assertIsNone(compare.falls_short("step", rounds(2, 4, 3), 4.3))

    def test_one_round_decides_nothing(self):
        self.assertIsNone(compare.falls_short("step", rounds(1), 4))

    def test_nothing_kept(self):
        self.assertIsNone(compare.falls_short("step", rounds(1, 1, 1.01), None))

    def test_small_is_good_where_so_declared(self):
        small = rounds(0.500, 0.501, 0.502, less=True)
        self.assertIsNone(compare.falls_short("ranked", small, 0.48))  # 0.48 / 0.95 = 0.505
        self.assertIsNotNone(compare.falls_short("ranked", small, 0.46))  # 0.484
        self.assertIsNone(compare.falls_short("ranked", small, 0.9))
        self.assertIsNone(compare.falls_short("ranked", rounds(0.3, 0.4, 0.6, less=True), 0.38))  # noise

    def test_kept_of_other_cases_stay(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "kept.json"
            kept = compare.read_kept(path)
            compare.write_kept(path, kept, "a", {"step": [rounds(4, 4, 4)], "score": [rounds(2, 2, 2)]})
            compare.write_kept(path, compare.read_kept(path), "b", {"step": [rounds(3, 3, 3)]})
            kept = compare.read_kept(path)
            self.assertEqual(kept, {"machine": "b", "ratios": {"step": {"row": 3}, "score": {"row": 2}}})
            self.assertEqual(len(compare.failures(kept, {"step": [rounds(2, 2, 2.01)], "score": [rounds(2, 2, 2.01)], "new": [rounds(1, 1, 1.01)]})), 1)


class Page(unittest.TestCase):
    def test_sections_are_merged_by_name(self):
        section = lambda name, ratio: results.section(name, "Title", [rounds(ratio, ratio, bar=4)], "Today, commit x; machine.")
        page = results.merge("", {"step": section("step", 4), "score": section("score", 2)})
        again = results.merge(page, {"step": section("step", 5)})
        self.assertEqual([line for line in again.splitlines() if line.startswith("#")], ["# Results of the bench", "## score", "## step"])
        self.assertIn("| row | 1 s | 5 s | 5.00× (5–5) | ≥ 4 | – | – |", again)
        self.assertNotIn("| 4 s |", again)
        self.assertIn("| 2 s |", again)
        self.assertEqual(results.merge(again, {}), again)


class Material(unittest.TestCase):
    def test_no_two_rows_are_equal(self):
        # All that three prompts and seven answers make: 3 · 7 · 6.
        rows = [tuple(r.values()) for r in make_rows.distinct_rows(list("abc"), list("1234567"), 126)]
        self.assertEqual(len(set(rows)), 126)
        self.assertFalse([r for r in rows if r[1] == r[2]])
        with self.assertRaises(ValueError):
            list(make_rows.distinct_rows(list("abc"), list("1234567"), 127))

    def test_rows_are_distinct_whatever_the_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            source, out = pathlib.Path(folder) / "in.jsonl", pathlib.Path(folder) / "out.jsonl"
            make_rows.write(source, [{"prompt": f"p{i % 4}", "chosen": f"c{i}", "rejected": f"r{i % 2}"} for i in range(6)])  # 4 prompts, 8 answers
            make_rows.distinct(out, source, 100)
            self.assertEqual(len({tuple(r.values()) for r in make_rows.read(out)}), 100)

    def test_135m(self):
        shapes = make_model.tensors(make_model.SHAPES["llama-135m"])
        self.assertEqual(sum(make_model.elements(s) for s in shapes.values()), 134_515_008)

    def test_flops_of_a_step_by_hand(self):
        config = {"hidden_size": 4, "intermediate_size": 5, "head_dim": 2, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 7}
        # a layer's weights: q 16, k 8, v 8, o 16, MLP 60; prompt 2, answers 3: 2 + 2·2 positions; 6 scored rows; queries of the
        # prompt see 1 and 2 keys, of an answer 3 and 4.
        self.assertEqual(step_flops(config, 1, 2, 3), 6 * 3 * 108 * 6 + 6 * 4 * 7 * 6 + 12 * 3 * 4 * (3 + 2 * 7))

    def test_cases_register_themselves(self):
        files = {path.stem for path in pathlib.Path(cases.__file__).parent.glob("[!_]*.py")}
        self.assertEqual({name.replace("-", "_") for name in cases.load()}, files)


class Processes(unittest.TestCase):
    def test_says_what_failed(self):
        with self.assertRaises(process.Failed) as caught:
            process.run(["sh", "-c", "echo out; echo why >&2; exit 3"])
        self.assertIn("ended with 3:\nwhy", str(caught.exception))

    def test_hears_lines_and_gives_the_output(self):
        heard = []
        run = process.run(["sh", "-c", "echo out; echo a >&2; echo b >&2"], on_line=lambda line, pid: heard.append(line))
        self.assertEqual((run.stdout, heard, [line for _, line in run.lines]), ("out\n", ["a\n", "b\n"], ["a\n", "b\n"]))
        self.assertGreater(run.peak, 0)

    def test_ends_with_the_bench(self):
        start = time.monotonic()
        with mock.patch("process.status", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
            process.run(["sleep", "30"])
        self.assertLess(time.monotonic() - start, 10)

    def test_killed_is_no_failure(self):
        self.assertLess(process.run(["sleep", "30"], kill_after=0.1).seconds, 10)


if __name__ == "__main__":
    unittest.main()
