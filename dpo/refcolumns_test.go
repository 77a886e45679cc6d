package dpo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// scoredFor scores a run's data with the run's reference and encoding.
func scoredFor(t *testing.T, c Config, data string) string {
	t.Helper()
	ref := c.Ref
	if ref == "" {
		ref = c.Model
	}
	out := filepath.Join(t.TempDir(), "scored.parquet")
	s := ScoreConfig{Model: c.Model, Ref: ref, Beta: 0.3, MaxLength: c.MaxLength,
		MaxPromptLength: c.MaxPromptLength, Truncate: c.Truncate, EOS: c.EOS, Device: "cpu"}
	for _, err := range Score(context.Background(), s, loadTokenizer(t, c.Model), ScoreFiles{Data: []string{data}, Out: out}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// phases runs to the end, and counts events by phase.
func phases(t *testing.T, c Config) (steps []Metrics, count map[string]int, err error) {
	t.Helper()
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		return nil, nil, err
	}
	defer trainer.Close()
	count = map[string]int{}
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			return steps, count, err
		}
		if count[e.Phase]++; e.Metrics != nil {
			steps = append(steps, *e.Metrics)
		}
	}
	return steps, count, nil
}

// Training on what score wrote is training with the reference computed, to float rounding, and computes none: the first
// loss is log 2 to 1e-5 at beta 0.1 where policy and reference are one.
func TestScoredColumnsAreTheReference(t *testing.T) {
	t.Run("the model", func(t *testing.T) { sameWithColumns(t, tinyConfig(t)) })
	t.Run("another model", func(t *testing.T) {
		c := tinyConfig(t)
		c.Ref = golden.Testdata(t, "models", "tiny-llama-linear")
		sameWithColumns(t, c)
	})
	t.Run("stories260K", func(t *testing.T) {
		c := tinyConfig(t)
		c.Model = golden.Shared(t, "models/stories260K-hf")
		c.Data = []string{head(t, golden.Shared(t, "pref/stories-sentiment-train.pairs.jsonl"), 96)}
		c.LR, c.Batch, c.Steps, c.EOS = 1e-4, 32, 4, "keep"
		sameWithColumns(t, c)
	})
}

func sameWithColumns(t *testing.T, c Config) {
	t.Helper()
	c.EvalData = []string{writePairs(t, 9)}
	want, count, err := phases(t, c)
	if err != nil || count["reference"] == 0 {
		t.Fatalf("%v, events %v", err, count)
	}
	cached := c
	cached.Data, cached.EvalData = []string{scoredFor(t, c, c.Data[0])}, []string{scoredFor(t, c, c.EvalData[0])}
	cached.Out, cached.RefColumns = filepath.Join(t.TempDir(), "out"), "require"
	got, count, err := phases(t, cached)
	if err != nil || count["reference"] != 0 {
		t.Fatalf("%v, events %v: the reference should be known", err, count)
	}
	worst := 0.0
	for i, w := range want {
		worst = math.Max(worst, math.Abs(got[i].Loss-w.Loss))
		if math.Abs(got[i].GradNorm/w.GradNorm-1) > 1e-3 || got[i].NumTokens != w.NumTokens {
			t.Errorf("step %d: norm %v, with the reference computed %v", i+1, got[i].GradNorm, w.GradNorm)
		}
	}
	first := math.Abs(got[0].Loss - math.Ln2)
	t.Logf("losses apart by %.1e at most, the first from log 2 by %.1e; the last is %.4f", worst, first, want[len(want)-1].Loss)
	if worst > 1e-5 || c.Ref == "" && first > 1e-5*c.Beta/0.1 {
		t.Errorf("losses apart by %.2e at most (bar 1e-5), the first from log 2 by %.2e", worst, first)
	}
}

// What score wrote is not what the reference says where the tokens of longer answers weigh less.
func TestScoredColumnsAreNotThoseOfLD(t *testing.T) {
	c, alpha := tinyConfig(t), 0.3
	c.Data, c.LDAlpha = []string{scoredFor(t, c, c.Data[0])}, &alpha
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "ld-alpha was none, is 0.3") {
		t.Errorf("error %v", err)
	}
	of := func(alpha *float64) string {
		return (&Trainer{Config: Config{LDAlpha: alpha}}).referenceDigest("rows")
	}
	if half := 0.5; of(nil) == of(&alpha) || of(&alpha) == of(&half) {
		t.Error("references by different weights of tokens have one digest")
	}
}

// Lists of ranked rows are taken in the order of their answers, best first.
func TestScoredRankingsAreTheReference(t *testing.T) {
	c := tinyConfig(t)
	c.Loss, c.Data, c.Steps, c.Batch = "plackett_luce", []string{golden.Testdata(t, "pref", "tiny.ranked.jsonl")}, 1, 16
	c.Data, c.RefColumns = []string{scoredFor(t, c, c.Data[0])}, "require"
	steps, count, err := phases(t, c)
	if err != nil || count["reference"] != 0 || math.Abs(steps[0].Margins) > 1e-5 {
		t.Errorf("%v, events %v, steps %+v: the margin should be 0", err, count, steps)
	}
}

// Columns that were not computed as the run would are refused, field by field, unless they are to be ignored.
func TestStaleColumnsAreRefused(t *testing.T) {
	c := tinyConfig(t)
	c.Steps = 1
	c.Data = []string{scoredFor(t, c, c.Data[0])}
	model := copyModel(t, c.Model)
	edit(t, filepath.Join(model, "tokenizer_config.json"), func(text string) string {
		return strings.Replace(text, "{", `{"chat_template": "{{ messages }}",`, 1)
	})
	other := copyModel(t, c.Model)
	edit(t, filepath.Join(other, "tokenizer.json"), func(text string) string { return text + "\n" })
	tests := []struct {
		want []string
		set  func(*Config)
	}{
		{[]string{"max-length was 512, is 511", "max-prompt-length was 256, is 99"}, func(c *Config) { c.MaxLength, c.MaxPromptLength = 511, 99 }},
		{[]string{"eos was add, is keep"}, func(c *Config) { c.EOS = "keep" }},
		{[]string{"truncate was prompt, is end"}, func(c *Config) { c.Truncate = "end" }},
		{[]string{"ref was "}, func(c *Config) { c.Ref = golden.Testdata(t, "models", "tiny-llama-linear") }},
		{[]string{"template was none, is "}, func(c *Config) { c.Model = model }},
		{[]string{"tokenizer was "}, func(c *Config) { c.Model = other }},
	}
	for _, test := range tests {
		stale := c
		test.set(&stale)
		want := "the ref_ columns of " + c.Data[0] + " are stale, they were not computed as this run would: " + strings.Join(test.want, "; ")
		if _, err := train(t, stale, false, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--ref-columns ignore") {
			t.Errorf("error %v, want %q", err, want)
		}
		stale.RefColumns, stale.Out = "ignore", filepath.Join(t.TempDir(), "out")
		if m := mustTrain(t, stale); m[0].Loss != math.Ln2 && stale.Ref == "" {
			t.Errorf("%v ignored: the loss starts at %v", test.want, m[0].Loss)
		}
	}
}

// What was scored whole is the reference of rows that the run does not cut; that of the others is computed.
func TestColumnsOfWholeRows(t *testing.T) {
	c := tinyConfig(t)
	c.Steps = 2
	whole := c
	whole.MaxLength = 0
	data := scoredFor(t, whole, c.Data[0])
	required := c
	required.Data, required.RefColumns, required.Out = []string{data}, "require", filepath.Join(t.TempDir(), "out")
	if _, count, err := phases(t, required); err != nil || count["reference"] != 0 {
		t.Errorf("no row is cut: %v, events %v", err, count)
	}
	c.MaxLength, c.MaxPromptLength = 40, 12
	want, _, err := phases(t, c)
	if err != nil || want[0].RowsTruncated == 0 || want[0].RowsTruncated >= 20 {
		t.Fatalf("%v, cut rows: %+v", err, want)
	}
	c.Data, c.Out = []string{data}, filepath.Join(t.TempDir(), "out")
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if plan, err := trainer.Plan(true); err != nil || plan.Known != plan.Groups-plan.Truncated {
		t.Errorf("%v: of %d groups %d are cut, and %d known", err, plan.Groups, plan.Truncated, plan.Known)
	}
	c.Out = filepath.Join(t.TempDir(), "out")
	got, count, err := phases(t, c)
	if err != nil || count["reference"] == 0 {
		t.Fatalf("%v, events %v", err, count)
	}
	for i, w := range want {
		if math.Abs(got[i].Loss-w.Loss) > 1e-5 {
			t.Errorf("step %d: loss %v, with the reference computed %v", i+1, got[i].Loss, w.Loss)
		}
	}
	c.RefColumns, c.Out = "require", filepath.Join(t.TempDir(), "out")
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "was scored whole, and is cut to --max-length 40: score the file with --max-length 40 --max-prompt-length 12 --truncate prompt, or raise that") {
		t.Errorf("required: %v", err)
	}
}

// A message of stale columns has the flags that make the run as the scores, where flags do, and the scores as the run.
func TestStaleColumnsNameFlags(t *testing.T) {
	was := identity{Ref: "r", Tokenizer: "t", MaxLength: 512, MaxPromptLength: 256, Truncate: "prompt", EOS: "add"}
	is := was
	is.MaxLength, is.EOS, is.DType = 400, "keep", "bfloat16"
	rounded := was
	rounded.TF32 = true
	other := is
	other.Ref = "another"
	for _, c := range []struct{ got, want string }{
		{was.asRun(is), "train with --max-length 512 --eos add --dtype float32, or "},
		{was.asRun(other), ""},
		{is.flags(" and", was), " and --max-length 400 --eos keep --dtype bfloat16"},
		{is.flags(" and", is), ""},
		{rounded.asRun(was), "train with --tf32=true, or "},
		{was.flags(" and", rounded), " and --tf32=false"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// Columns that say not where they are from are left alone, and do not do where they are required; a file without some is
// computed beside one with all.
func TestColumnsOfUnknownOrigin(t *testing.T) {
	c := tinyConfig(t)
	c.Steps = 1
	var lines []string
	for i := range 8 {
		line, err := json.Marshal(map[string]any{"prompt": "the cat", "chosen": fmt.Sprint(" sat ", i), "rejected": " ran", "ref_chosen_logps": -1, "ref_rejected_logps": -2})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	foreign := filepath.Join(t.TempDir(), "foreign.jsonl")
	if err := os.WriteFile(foreign, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Data = []string{foreign, scoredFor(t, c, c.Data[0])}
	c.Batch, c.MicroBatch = 32, 1
	steps, count, err := phases(t, c)
	if err != nil || count["reference"] != 8 || math.Abs(steps[0].Loss-math.Ln2) > 1e-5 {
		t.Errorf("%v, events %v of 8 rows to compute, steps %+v", err, count, steps)
	}
	c.RefColumns, c.Out = "require", filepath.Join(t.TempDir(), "out")
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "row 0 of "+foreign+" has no ref_ columns") {
		t.Errorf("required: error %v", err)
	}
}

// What a file says of its columns in a form that is not known, as of another version, is refused too.
func TestColumnsOfAnotherVersion(t *testing.T) {
	c := tinyConfig(t)
	table, err := datasets.OpenTable(c.Data[0], datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	c.Data[0] = filepath.Join(t.TempDir(), "scored.parquet")
	added := []datasets.Column{{Name: "ref_chosen_logps", Type: datasets.Float64Column}, {Name: "ref_rejected_logps", Type: datasets.Float64Column}}
	w, err := datasets.CreateTable(c.Data[0], table, added, datasets.TableOptions{Metadata: map[string]string{metadataKey: `{"ref": "x", "salt": 1}`}})
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range table.Rows(0) {
		if err != nil || w.Write(row, -1.0, -2.0) != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), `unknown field "salt"`) {
		t.Errorf("error %v", err)
	}
}

// A run whose reference was lost or damaged computes it anew with the model that it began with, to the same bits.
func TestResumeWithoutReferenceFile(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"lost":    os.Remove,
		"damaged": func(file string) error { return flipBit(file, 40) },
	} {
		t.Run(name, func(t *testing.T) { resumeWithoutReference(t, spoil) })
	}
}

// flipBit changes a bit of a file's byte.
func flipBit(file string, at int) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text[at] ^= 1
	return os.WriteFile(file, text, 0o644)
}

func resumeWithoutReference(t *testing.T, spoil func(file string) error) {
	c := tinyConfig(t)
	if _, err := train(t, c, false, func(step int) bool { return step == 3 }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	file := filepath.Join(c.Out, "run", "reference.json")
	want := readBytes(t, file)
	if err := spoil(file); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, true, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readBytes(t, file), want) {
		t.Error("the reference is another than at first")
	}
}

// copyModel copies a model's folder.
func copyModel(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(text))
	if changed == string(text) {
		t.Fatalf("%s is not changed", path)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A reference that is interrupted goes on where it was, and ends in the same bits.
func TestInterruptedReference(t *testing.T) {
	c := tinyConfig(t)
	c.MicroBatch = 1
	mustTrain(t, c)
	again := c
	again.Out = filepath.Join(t.TempDir(), "out")
	const stop = 9
	run := func(resume bool) (batches int, ended error) {
		trainer, err := NewTrainer(again, loadTokenizer(t, c.Model), resume)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for e, err := range trainer.Run(ctx) {
			if ended = err; e.Phase == "reference" {
				if batches++; !resume && batches == stop {
					cancel()
				}
			}
		}
		return batches, ended
	}
	if _, err := run(false); !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "of 24 micro-batches is kept") {
		t.Fatalf("error %v", err)
	}
	if left, err := run(true); err != nil || left == 0 || left > 24-stop {
		t.Errorf("%d micro-batches were left, %d of 24 had been told of (%v)", left, stop, err)
	}
	if want, got := golden.Outcome(t, c.Out), golden.Outcome(t, again.Out); got != want {
		t.Errorf("it ends in other bits:\n%s", golden.Difference(want, got))
	}
}
