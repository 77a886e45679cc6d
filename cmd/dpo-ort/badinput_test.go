package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
)

var update = flag.Bool("update", false, "rewrite testdata/badinput.golden")

const badInputGolden = "testdata/badinput.golden"

// badCase is something that a user gets wrong. The program runs in a folder that holds model, pairs.jsonl, pairs.parquet and
// ranked.jsonl, which make changes.
type badCase struct {
	name  string
	make  func(w *work) // nil: changes nothing
	args  string        // the command line, split at spaces
	code  int           // what the program exits with; of 0, what it writes is not looked at
	limit int           // most blocks that a file may have (ulimit -f); 0: no limit
	keeps string        // the folder in which files may appear, for a run that had begun
}

// train, score and generate are the commands that most cases run.
const (
	train    = "train --model model --data pairs.jsonl --out out --quiet --batch 8 --steps 1"
	generate = "generate --model model --data pairs.jsonl --out out.parquet --quiet --max-tokens 4"
	score    = "score --model model --data pairs.jsonl --out out.parquet --quiet"
)

// TestBadInput holds the exit code and the error of every case to badinput.golden, a line each, in which $WORK is the folder
// the program ran in, and that nothing else is left there than was before.
func TestBadInput(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("messages of Windows differ")
	}
	want := readBadInput(t)
	got := map[string]string{}
	for _, c := range slices.Concat(badModels(), badData(), badRows(), badSettings(), badOutputs(), badObjectives(), badAdapters(), badReferences(), badChats(), badExported(), badInference()) {
		t.Run(c.name, func(t *testing.T) {
			if _, twice := got[c.name]; twice {
				t.Fatal("two cases of this name")
			}
			got[c.name] = withoutRegistries(runBadInput(t, c))
			if !*update && got[c.name] != want[c.name] {
				t.Errorf("got  %s\nwant %s\n(-update rewrites %s)", got[c.name], want[c.name], badInputGolden)
			}
			delete(want, c.name)
		})
	}
	if *update {
		writeBadInput(t, got)
	} else if flag.Lookup("test.run").Value.String() == "" && len(want) > 0 {
		t.Errorf("lines of %s without a case: %v", badInputGolden, slices.Sorted(maps.Keys(want)))
	}
}

// TestBadInputIsEnough holds the number of cases, of which none may be lost.
func TestBadInputIsEnough(t *testing.T) {
	if n := len(readBadInput(t)); n < 60 {
		t.Errorf("%d lines in %s, at least 60 are wanted", n, badInputGolden)
	}
}

// Apart from the table, since who is root may write anywhere.
func TestOutNotWritable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs a user who is not root")
	}
	w := newWork(t)
	w.check(os.Mkdir(w.path("out"), 0o555))
	if code, said := w.program("train --model model --data pairs.jsonl --out out", 0); code != 1 || !strings.Contains(said, "out is not writable") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// withoutRegistries puts a word in the place of the names of optimizers and schedules, so that another one changes no line.
func withoutRegistries(line string) string {
	return strings.NewReplacer(strings.Join(optim.Names(), ", "), "(optimizers)", strings.Join(optim.Schedules(), ", "), "(schedules)").Replace(line)
}

// readBadInput gives "code: line" by name.
func readBadInput(t *testing.T) map[string]string {
	t.Helper()
	lines := map[string]string{}
	text, err := os.ReadFile(badInputGolden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		lines[name] = rest
	}
	return lines
}

func writeBadInput(t *testing.T, got map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintf(&b, "%s: %s\n", name, got[name])
	}
	if err := os.WriteFile(badInputGolden, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runBadInput runs a case and gives its line: the exit code, and the last error.
func runBadInput(t *testing.T, c badCase) string {
	t.Helper()
	w := newWork(t)
	if c.make != nil {
		c.make(w)
	}
	before := w.files()
	code, said := w.program(c.args, c.limit)
	if code != c.code {
		t.Errorf("exit code %d, want %d: %s", code, c.code, said)
	}
	for _, trace := range []string{"panic:", "goroutine ", "SIGXFSZ", "fatal error"} {
		if strings.Contains(said, trace) {
			t.Errorf("the program crashed: %s", said)
		}
	}
	if code == 0 {
		return "0: ok"
	}
	for path, digest := range w.files() {
		began := c.keeps != "" && strings.HasPrefix(path+"/", c.keeps+"/") && !strings.HasSuffix(path, ".tmp")
		if before[path] != digest && !began {
			t.Errorf("%s is new or changed", path)
		}
		delete(before, path)
	}
	if len(before) > 0 {
		t.Errorf("gone: %v", slices.Sorted(maps.Keys(before)))
	}
	at := strings.LastIndex(said, "error: ")
	if at < 0 {
		t.Fatalf("no error in %q", said)
	}
	line := strings.TrimSpace(strings.ReplaceAll(said[at:], w.dir, "$WORK"))
	return fmt.Sprintf("%d: %s", code, strings.ReplaceAll(line, "\n", " | "))
}

// work is the folder that a case runs in.
type work struct {
	t   *testing.T
	dir string
}

func newWork(t *testing.T) *work {
	w := &work{t, t.TempDir()}
	root := filepath.Join("..", "..", "testdata")
	w.check(os.CopyFS(w.path("model"), os.DirFS(filepath.Join(root, "models", "tiny-llama"))))
	for from, to := range map[string]string{"tiny.pairs.jsonl": "pairs.jsonl", "tiny.pairs.parquet": "pairs.parquet", "tiny.ranked.jsonl": "ranked.jsonl"} {
		text, err := os.ReadFile(filepath.Join(root, "pref", from))
		w.check(err)
		w.write(to, string(text))
	}
	return w
}

func (w *work) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *work) path(name string) string { return filepath.Join(w.dir, name) }

func (w *work) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.path(name))
	w.check(err)
	return string(text)
}

func (w *work) write(name, text string) {
	w.t.Helper()
	w.check(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.check(os.WriteFile(w.path(name), []byte(text), 0o644))
}

func (w *work) remove(name string) {
	w.t.Helper()
	w.check(os.Remove(w.path(name)))
}

// did runs a command that is right.
func (w *work) did(args string) {
	w.t.Helper()
	if code, said := w.program(args, 0); code != 0 {
		w.t.Fatalf("%s: exit code %d: %s", args, code, said)
	}
}

// program runs the program and gives its exit code and all that it said.
func (w *work) program(args string, limit int) (code int, said string) {
	w.t.Helper()
	cmd := exec.Command("dpo-ort", strings.Fields(args)...)
	if limit > 0 {
		cmd = exec.Command("sh", append([]string{"-c", fmt.Sprintf("ulimit -f %d; exec dpo-ort \"$@\"", limit), "sh"}, strings.Fields(args)...)...)
	}
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, &out, &out
	cmd.Env = append(os.Environ(), "HF_HOME="+w.path("hub"), "HF_HUB_CACHE=", "HF_HUB_OFFLINE=1", "HF_ENDPOINT=", "HF_TOKEN=", "HF_TOKEN_PATH=")
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// files gives a digest of each file, and of each folder its name.
func (w *work) files() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	w.check(filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(w.dir, path)
		if err == nil && d.Type().IsRegular() {
			found[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(w.read(name))))
		} else {
			found[name] = "folder"
		}
		return err
	}))
	return found
}
