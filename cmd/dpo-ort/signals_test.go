//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the program as it runs, with what it has said on stderr.
type running struct {
	cmd     *exec.Cmd
	said    *heard
	told    chan struct{} // closed once it has said the word that is waited for
	started time.Time
}

// start starts the program in a folder. A word that is empty is not waited for.
func start(t *testing.T, dir, word string, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.CommandContext(t.Context(), "dpo-ort", args...), told: make(chan struct{}), started: time.Now()}
	r.said = &heard{on: []byte(word), then: func() { close(r.told) }}
	if word == "" {
		close(r.told)
		r.said = &heard{}
	}
	r.cmd.Dir, r.cmd.Stderr = dir, r.said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// signal sends signals, one after the other, when the program has said its word.
func (r *running) signal(t *testing.T, signals ...os.Signal) {
	t.Helper()
	select {
	case <-r.told:
	case <-time.After(5 * time.Minute):
		t.Fatalf("it does not say %q in five minutes", r.said.on)
	}
	for i, s := range signals {
		if i > 0 {
			time.Sleep(50 * time.Millisecond) // two signals of a kind at a time are one
		}
		if err := r.cmd.Process.Signal(s); err != nil {
			t.Fatalf("%v: it has ended already", err)
		}
	}
}

// ends waits for the program's end, and holds it to an exit code, what its stderr matches, and the time since from.
func (r *running) ends(t *testing.T, code int, within time.Duration, patterns ...string) {
	t.Helper()
	from := time.Now()
	hangs := time.AfterFunc(within+20*time.Second, func() { _ = r.cmd.Process.Kill() })
	err := r.cmd.Wait()
	hangs.Stop()
	took := time.Since(from)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d (%v), want %d", got, r.cmd.ProcessState, code)
	}
	if took > within {
		t.Errorf("it took %v, want %v at most", took, within)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).Match(r.said.text.Bytes()) {
			t.Errorf("it does not say %s", p)
		}
	}
	if t.Failed() {
		t.Logf("it said:\n%s", r.said.text.String())
	}
}

// longRows writes preferences of which a step of all takes some seconds.
func longRows(t *testing.T, rows int) string {
	t.Helper()
	var text bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&text, `{"prompt":"Day %d. ","chosen":"%s","rejected":"Ben saw a cold day."}`+"\n", i, strings.Repeat("Tom saw a happy day and Lily found a bright bird. ", 5))
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// longRun are the arguments of a run of two steps of some seconds each.
func longRun(t *testing.T) []string {
	t.Helper()
	return []string{"train", "--model", tiny(t, "models/tiny-llama"), "--data", longRows(t, 600), "--batch", "600", "--steps", "2", "--no-shuffle", "--save-every", "1",
		"--threads", "1", "--out", "out", "--cache", "none"}
}

func tiny(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

const savedStep1 = "saved     out/run/checkpoints/step-000001"

// The first Ctrl-C, or SIGTERM, ends the run after the step that was begun, with its state saved; the same run goes on from there.
func TestFirstSignalSaves(t *testing.T) {
	for _, sent := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sent.String(), func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"train", "--model", tiny(t, "models/tiny-llama"), "--data", tiny(t, "pref/tiny.pairs.jsonl"), "--batch", "8", "--steps", "2000", "--out", "out", "--cache", "none"}
			r := start(t, dir, "train     1/", args...)
			r.signal(t, sent)
			r.ends(t, exitInterrupted, 5*time.Second, `stopping  what was begun is finished and saved`, `error: interrupted after step \d+ of 2000, saved as out/run/checkpoints/step-\d+; go on with --resume --out out`)
		})
	}
}

// A second signal ends the program in the middle of a step, and so does SIGTERM when its grace has passed; both say what is saved.
func TestStopsNow(t *testing.T) {
	for name, of := range map[string]struct {
		flags   []string
		signals []os.Signal
		says    string
	}{
		"second Ctrl-C": {nil, []os.Signal{os.Interrupt, os.Interrupt}, `error: stopped at once; saved is out/run/checkpoints/step-000001; go on with --resume --out out`},
		"grace": {[]string{"--grace", "100ms"}, []os.Signal{syscall.SIGTERM}, `saved, in 100ms at most(.|\n)*error: stopped: what was begun takes longer than the grace of 100ms; ` +
			`saved is out/run/checkpoints/step-000001; go on with`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, dir, savedStep1, append(longRun(t), of.flags...)...)
			r.signal(t, of.signals...)
			r.ends(t, exitInterrupted, time.Second, of.says)
			if entries, err := filepath.Glob(filepath.Join(dir, "out/run/checkpoints/*")); err != nil || len(entries) != 1 {
				t.Errorf("checkpoints %q, %v; want that of step 1 alone", entries, err)
			}
		})
	}
}

// Where nothing has been done that could be saved, the first signal ends the program in about a second, whatever it is at.
func TestSignalBeforeTheFirstStep(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "never.jsonl") // nobody writes to it: whoever reads it waits
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("needs a named pipe: %v", err)
	}
	r := start(t, dir, "", "train", "--model", tiny(t, "models/tiny-llama"), "--data", fifo, "--out", "out", "--log-file", "log")
	for deadline := time.Now().Add(time.Minute); !exists(filepath.Join(dir, "log")); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no log file in a minute")
		}
	}
	r.signal(t, os.Interrupt)
	r.ends(t, exitInterrupted, 3*time.Second, `error: interrupted before the first step; nothing is saved`)
	if exists(filepath.Join(dir, "out")) {
		t.Error("it has written")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || !strings.Contains(string(text), "error: interrupted before the first step") {
		t.Errorf("the log file does not say how it ended: %q, %v", text, err)
	}
}

// Jobs that go row by row say where what they have done lies.
func TestWhatIsKept(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "scored.parquet")
	if got := keptParts(out)(); got != "nothing is saved" {
		t.Errorf("without parts: %q", got)
	}
	run := filepath.Join(dir, "run")
	for _, made := range []string{out + ".parts", filepath.Join(run, "checkpoints", "step-000002.tmp")} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := keptParts(out)(), "what is done is kept in "+out+".parts; the same command goes on from there"; got != want {
		t.Errorf("with parts: %q, want %q", got, want)
	}
	if got := keptRun(dir)(); got != "nothing is saved" {
		t.Errorf("a run without settings: %q", got)
	}
	if err := os.WriteFile(filepath.Join(run, "config.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := keptRun(dir)(), "nothing is saved yet; go on with --resume --out "+dir; got != want {
		t.Errorf("a checkpoint that is not whole: %q, want %q", got, want)
	}
}

// The log file has each line's time, what stderr has, and more: it is there with --quiet, and adds to what it held. Its JSON is an object
// a line, of which each event is one.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	args := []string{"train", "--model", tiny(t, "models/tiny-llama"), "--data", tiny(t, "pref/tiny.pairs.jsonl"), "--batch", "8", "--steps", "2", "--quiet", "--cache", "none", "--log-file"}
	r := start(t, dir, "", append(args, "log", "--out", "out")...)
	r.ends(t, 0, time.Minute)
	if r.said.text.Len() > 0 {
		t.Errorf("with --quiet it says %q", r.said.text.String())
	}
	start(t, dir, "", append(args, "log", "--out", "out")...).ends(t, exitFailed, time.Minute) // out holds a run
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `
	pattern := "^"
	for _, line := range []string{"begun     dpo-ort train, version .*", "data      64 groups, .*", "steps     2 .*", "memory    .*", "reference 1/.*", "(reference .*\n" + stamp + ")*train     1/2  loss 0.6931, .*", "warning: the chosen answers are unlikely .*; hint: .*", "train     2/2  .*",
		"ended", "begun .*", "error: output directory out holds another run: .*"} {
		pattern += stamp + line + "\n"
	}
	if !regexp.MustCompile(pattern + "$").Match(text) {
		t.Errorf("the log file holds\n%s\nwant\n%s", text, pattern)
	}

	start(t, dir, "", append(args, "log.jsonl", "--log-format", "json", "--out", "out2")...).ends(t, 0, time.Minute)
	if text, err = os.ReadFile(filepath.Join(dir, "log.jsonl")); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for line := range strings.Lines(string(text)) {
		var e struct {
			Time    time.Time
			Phase   string
			Done    int
			Metrics map[string]float64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() {
			t.Errorf("%v in %q", err, line)
		}
		if e.Phase == "train" && e.Metrics != nil {
			if steps++; e.Done != steps || e.Metrics["loss"] == 0 {
				t.Errorf("step %d: %q", steps, line)
			}
		}
	}
	if steps != 2 {
		t.Errorf("%d steps, want 2", steps)
	}
	start(t, dir, "", append(args, filepath.Join("log", "below"), "--out", "out3")...).ends(t, exitFailed, time.Minute, `^error: log-file log/below cannot be written: `)
}

// A log file of 10 MiB is put aside, and five of those are kept.
func TestLogFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	cmd := newTrain()
	if err := cmd.Flags().Parse([]string{"--log-file", path}); err != nil {
		t.Fatal(err)
	}
	s := &speech{stderr: os.Stderr}
	if err := s.hear(cmd); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	line := strings.Repeat("x", 1<<20-64)
	names := func() []string {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "log*"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	for range 2 * logMiB {
		s.log(line, nil)
	}
	if n := len(names()); n != 2 {
		t.Errorf("20 MiB are in %d files, want 2: %q", n, names())
	}
	for range (logOlds + 3) * logMiB {
		s.log(line, nil)
	}
	for deadline := time.Now().Add(10 * time.Second); len(names()) > logOlds+1 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // old ones are removed beside what runs
	}
	if n := len(names()); n != logOlds+1 {
		t.Errorf("100 MiB are in %d files, want %d: %q", n, logOlds+1, names())
	}
	for _, name := range names() {
		if info, err := os.Stat(name); err != nil || info.Size() > logMiB<<20 {
			t.Errorf("%s: %v, %v", name, info.Size(), err)
		}
	}
}
