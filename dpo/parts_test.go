package dpo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// scoreTiny scores with tiny-llama until the end, or until stop events have come; then the loop is left.
func scoreTiny(t *testing.T, f ScoreFiles, stop int, change ...func(*ScoreConfig)) (events []ScoreEvent, err error) {
	t.Helper()
	c := scoreConfig(golden.Testdata(t, "models", "tiny-llama"), golden.Testdata(t, "models", "tiny-llama-linear"))
	for _, f := range change {
		f(&c)
	}
	for e, err := range Score(context.Background(), c, loadTokenizer(t, c.Model), f) {
		if err != nil {
			return events, err
		}
		if events = append(events, e); len(events) == stop {
			break
		}
	}
	return events, nil
}

// mustScore scores to the end and gives the file.
func mustScore(t *testing.T, f ScoreFiles) []byte {
	t.Helper()
	if _, err := scoreTiny(t, f, 0); err != nil {
		t.Fatal(err)
	}
	return readBytes(t, f.Out)
}

func readBytes(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func outFile(t *testing.T) string { return filepath.Join(t.TempDir(), "out.parquet") }

// names are what a folder holds.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// A job that is stopped anywhere, some parts of it lost, goes on to the bytes of one that is not, and leaves nothing else.
func TestScoreResumesToTheSameBytes(t *testing.T) {
	data := []string{writePairs(t, 300)}
	want := mustScore(t, ScoreFiles{Data: data, Out: outFile(t)})
	for stop := 1; stop <= 3; stop++ {
		f := ScoreFiles{Data: data, Out: outFile(t)}
		rows := int64(0)
		for range 2 {
			events, err := scoreTiny(t, f, stop)
			if err != nil {
				t.Fatal(err)
			}
			if events[0].Resumed != rows || rows > 0 && events[0].Rows != rows {
				t.Errorf("after %d rows the job goes on with %+v", rows, events[0])
			}
			rows = events[len(events)-1].Rows
		}
		if stop == 3 { // a crash in the midst of a part loses it, and may leave a file of another name
			dir := f.Out + ".parts"
			parts := names(t, dir)
			if len(parts) != 3 {
				t.Fatalf("two stops leave %v", parts)
			}
			lost := filepath.Join(dir, parts[1])
			if err := os.Rename(lost, filepath.Join(dir, "."+parts[1]+".123")); err != nil {
				t.Fatal(err)
			}
		}
		if got := mustScore(t, f); !bytes.Equal(got, want) {
			t.Errorf("stopped every %d windows: %d bytes that differ from the %d of a job that was not", stop, len(got), len(want))
		}
		if left := names(t, filepath.Dir(f.Out)); len(left) != 1 {
			t.Errorf("the job leaves %v", left)
		}
	}
}

// Parts are written as they come, so that a kill at any time loses few rows.
func TestPartsAreWrittenAsTheyCome(t *testing.T) {
	p, err := openParts[storedScores](outFile(t), job{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 9 {
		if err := p.add(make([]storedScores, largestWindow)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := names(t, p.dir), []string{".lock", "000000000000.json", "000000001024.json", "job.json"}; !reflect.DeepEqual(got, want) {
		t.Errorf("after 2304 rows there are %v, want %v", got, want)
	}
	p.since = p.since.Add(-partTime)
	if err := p.add(make([]storedScores, 1)); err != nil || len(names(t, p.dir)) != 5 {
		t.Errorf("after %v there are %v (%v)", partTime, names(t, p.dir), err)
	}
}

// A job that is interrupted finishes the window that it has begun, keeps what it has, and begins no other.
func TestScoreInterrupted(t *testing.T) {
	c := scoreConfig(golden.Testdata(t, "models", "tiny-llama"), "")
	for _, early := range []bool{true, false} {
		f := ScoreFiles{Data: []string{writePairs(t, 200)}, Out: outFile(t)}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if early {
			cancel()
		}
		var last error
		rows := int64(0)
		for e, err := range Score(ctx, c, loadTokenizer(t, c.Model), f) {
			cancel()
			rows, last = max(rows, e.Rows), err
		}
		want := fmt.Sprintf("after %d of 200 rows, kept in %s.parts; the same command goes on from there", rows, f.Out)
		if early {
			want = "before the first row"
		}
		if !errors.Is(last, ErrInterrupted) || !strings.HasSuffix(last.Error(), want) || rows > 64 {
			t.Errorf("error %v after %d rows", last, rows)
		}
		if _, err := os.Stat(f.Out); err == nil {
			t.Error("an interrupted job wrote its output")
		}
	}
}

// The outputs of all shards, one after the other, are the rows of the whole, to the last bit: over several files too.
func TestShardsAreTheWhole(t *testing.T) {
	data := []string{writePairs(t, 130), writePairs(t, 170)}
	want := rowsOf(t, mustScore(t, ScoreFiles{Data: data, Out: outFile(t)}))
	for _, of := range []int{2, 5} {
		var got []any
		for i := 1; i <= of; i++ {
			got = append(got, rowsOf(t, mustScore(t, ScoreFiles{Data: data, Out: outFile(t), Shard: Shard{i, of}}))...)
		}
		if len(want) != 300 || !reflect.DeepEqual(got, want) {
			t.Errorf("%d shards hold %d rows, which are not the whole's %d", of, len(got), len(want))
		}
	}
	if rows := rowsOf(t, mustScore(t, ScoreFiles{Data: data, Out: outFile(t), Shard: Shard{1, 40}})); len(rows) != 0 {
		t.Errorf("a shard without rows has %d", len(rows))
	}
}

func rowsOf(t *testing.T, file []byte) []any {
	t.Helper()
	rows, err := parquet.Read[any](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Parts of another job are refused by what differs, and replaced on demand; damaged ones are named.
func TestPartsOfAnotherJob(t *testing.T) {
	data, more := writePairs(t, 40), writePairs(t, 41)
	f := ScoreFiles{Data: []string{data}, Out: outFile(t)}
	begin := func() {
		t.Helper()
		if _, err := scoreTiny(t, f, 1); err != nil {
			t.Fatal(err)
		}
	}
	begin()
	other := f
	other.Data = []string{more}
	shard := f
	shard.Shard = Shard{1, 2}
	tests := []struct {
		want  string
		files ScoreFiles
		set   func(*ScoreConfig)
	}{
		{"beta was 0.1, is 0.2", f, func(c *ScoreConfig) { c.Beta = 0.2 }},
		{"eos was keep, is add", f, func(c *ScoreConfig) { c.EOS = "add" }},
		{"max-length was 0, is 9", f, func(c *ScoreConfig) { c.MaxLength = 9 }},
		{"micro-batch was 0, is 3", f, func(c *ScoreConfig) { c.MicroBatch = 3 }},
		{"ref was ", f, func(c *ScoreConfig) { c.Ref = c.Model }},
		{"data was ", other, func(*ScoreConfig) {}},
		{"shard was none, is 1/2", shard, func(*ScoreConfig) {}},
	}
	for _, test := range tests {
		_, err := scoreTiny(t, test.files, 0, test.set)
		if err == nil || !strings.Contains(err.Error(), "other settings or data: "+test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
	part := filepath.Join(f.Out+".parts", partName(0))
	if err := os.WriteFile(part, []byte("[{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := scoreTiny(t, f, 0); err == nil || !strings.Contains(err.Error(), "read "+part) {
		t.Errorf("damaged part: error %v", err)
	}
	other.Overwrite = true
	fresh := mustScore(t, ScoreFiles{Data: other.Data, Out: outFile(t)})
	if got := mustScore(t, other); !bytes.Equal(got, fresh) {
		t.Error("a job that replaces another's parts gave other bytes than one alone")
	}
}

func TestPartsLeaveAFolderOfOthersAlone(t *testing.T) {
	f := ScoreFiles{Data: []string{writePairs(t, 3)}, Out: outFile(t)}
	mine := filepath.Join(f.Out+".parts", "mine")
	if err := os.MkdirAll(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := scoreTiny(t, f, 0); err == nil || !strings.Contains(err.Error(), "it holds mine") {
		t.Errorf("error %v", err)
	}
}

// With strict the first row that cannot be scored ends the job, also one that was scored without it.
func TestScoreStrict(t *testing.T) {
	data := filepath.Join(t.TempDir(), "in.jsonl")
	lines := string(readBytes(t, writePairs(t, 20))) + `{"prompt": "the cat", "chosen": "", "rejected": " ran"}` + "\n" +
		string(readBytes(t, writePairs(t, 20))) + `{"prompt": "the cat", "chosen": 5, "rejected": " ran"}` + "\n"
	if err := os.WriteFile(data, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	f := ScoreFiles{Data: []string{data}, Out: outFile(t), Strict: true}
	want := "score row 20 of " + data + ": empty completion"
	if _, err := scoreTiny(t, f, 0); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if left := names(t, filepath.Dir(f.Out)); len(left) != 1 || left[0] != "out.parquet.parts" {
		t.Errorf("a strict job leaves %v", left)
	}
	f.Strict = false
	events, err := scoreTiny(t, f, 2)
	if err != nil || events[0].Resumed != 16 || events[1].Failed != 1 {
		t.Fatalf("without strict the job goes on with %+v (%v)", events, err)
	}
	f.Strict = true
	if _, err := scoreTiny(t, f, 0); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v of a row in a part, want %q", err, want)
	}
}

// Columns of other names are scored under theirs, and kept.
func TestScoreColumns(t *testing.T) {
	lines := `{"question": "the cat", "good": " sat", "bad": " ran off"}` + "\n"
	data := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(data, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	got := rowsOf(t, mustScore(t, ScoreFiles{Data: []string{data}, Out: outFile(t),
		Columns: map[string]string{"prompt": "question", "chosen": "good", "rejected": "bad"}}))[0].(map[string]any)
	plain, _ := scoreLines(t, golden.Testdata(t, "models", "tiny-llama-linear"), `{"prompt": "the cat", "chosen": " sat", "rejected": " ran off"}`)
	if got["question"] != "the cat" || got["good"] != " sat" || got["policy_chosen_logps"] != plain[0]["policy_chosen_logps"] {
		t.Errorf("scored %v, under our names %v", got, plain[0])
	}
	if err := (datasets.Options{Columns: map[string]string{"question": "prompt"}}).Check(); err == nil {
		t.Error("a column that is none of ours is not refused")
	}
}

// A job that was killed between writing its output and removing its parts goes on, when asked to, to the same bytes.
func TestPartsBesideTheirOutput(t *testing.T) {
	f := ScoreFiles{Data: []string{writePairs(t, 40)}, Out: outFile(t)}
	want := mustScore(t, ScoreFiles{Data: f.Data, Out: outFile(t)})
	if _, err := scoreTiny(t, f, 1); err != nil { // stopped
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Out, want, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := scoreTiny(t, f, 0); err == nil || !strings.Contains(err.Error(), "give --overwrite to go on with those") {
		t.Errorf("error %v", err)
	}
	f.Overwrite = true
	if got := mustScore(t, f); !bytes.Equal(got, want) || there(f.Out+partsSuffix) {
		t.Error("it ends in other bytes, or leaves its parts")
	}
}
