package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// run6 is a run of six steps, as a trainer tells of it.
func run6() []dpo.Event {
	events := []dpo.Event{{Phase: "reference", Done: 1, Total: 2}, {Phase: "reference", Done: 2, Total: 2}}
	for step := 1; step <= 6; step++ {
		m := dpo.Metrics{Step: step, GradNorm: 12.5, LearningRate: 1e-6, TokensPerSecond: 123456}
		m.Loss, m.Accuracies, m.Margins = 0.5, 0.75, 1.25
		events = append(events, dpo.Event{Phase: "train", Done: step, Total: 6, Metrics: &m})
		if step == 4 {
			events = append(events, dpo.Event{Phase: "train", Done: step, Total: 6, Saved: "out/run/checkpoints/step-000004"})
		}
	}
	e := dpo.Evaluation{Step: 6, Groups: 7}
	e.Loss, e.Accuracies, e.Margins = 0.25, 0.875, 2
	return append(events, dpo.Event{Phase: "eval", Done: 1, Total: 1, Evaluation: &e})
}

// Where there is no terminal, lines tell of the first and the last of a phase, of what was saved and measured, and now and then.
func TestProgressLines(t *testing.T) {
	var out bytes.Buffer
	p := (talk{format: "text"}).progress(&out)
	for _, e := range run6() {
		p.show(e)
	}
	p.end()
	want := []string{
		`reference 1/2`, `reference 2/2`,
		`train     1/6  loss 0\.5000, accuracy 0\.75, margin 1\.250, norm 12\.50, rate 1e-06, 123456 tokens/s`,
		`saved     out/run/checkpoints/step-000004`,
		`train     6/6  loss 0\.5000, .*`,
		`held out  after step 6: loss 0\.2500, accuracy 0\.8750, margin 2\.000 \(7 groups\)`,
	}
	if pattern := "^" + strings.Join(want, "\n") + "\n$"; !regexp.MustCompile(pattern).MatchString(out.String()) {
		t.Errorf("lines\n%s\nwant\n%s", out.String(), pattern)
	}
	out.Reset()
	p.last = time.Now().Add(-lineEvery)
	p.show(run6()[3])
	if !strings.HasPrefix(out.String(), "train     2/6  ") {
		t.Errorf("after %s without a line: %q", lineEvery, out.String())
	}
}

// The time left is that of the steps still to do, at the pace of the phase so far.
func TestProgressTellsTheTimeLeft(t *testing.T) {
	p := (talk{format: "text"}).progress(io.Discard)
	p.started, p.begun = time.Now().Add(-20*time.Second), 10
	if line := p.line(dpo.Event{Phase: "train", Done: 20, Total: 80}); line != "train     20/80, 2m00s left" {
		t.Errorf("ten of sixty steps took 20 s, so 120 s are left: %q", line)
	}
}

// As JSON each event is an object on a line of its own, whose metrics have the names of metrics.jsonl.
func TestProgressAsJSON(t *testing.T) {
	var out bytes.Buffer
	p := (talk{format: "json"}).progress(&out)
	p.say("talk is left out\n")
	for _, e := range run6() {
		p.show(e)
	}
	p.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(run6()) {
		t.Fatalf("%d lines for %d events", len(lines), len(run6()))
	}
	var step, eval struct {
		Phase       string
		Done, Total int
		Metrics     map[string]float64
		Evaluation  map[string]float64
	}
	if err := json.Unmarshal([]byte(lines[2]), &step); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &eval); err != nil {
		t.Fatal(err)
	}
	if step.Phase != "train" || step.Done != 1 || step.Total != 6 || step.Metrics["rewards/margins"] != 1.25 || eval.Evaluation["eval_loss"] != 0.25 {
		t.Errorf("step %+v, evaluation %+v", step, eval)
	}
}

// A run in float16 says of a step that it was skipped, and at the end how many were.
func TestProgressOfSkippedSteps(t *testing.T) {
	m := dpo.Metrics{Step: 4, Scaling: &dpo.Scaling{LossScale: 32768, SkippedSteps: 2}, Overflowed: true}
	if text := measured(dpo.Event{Metrics: &m}); !strings.Contains(text, "skipped at a loss scale of 32768, rate ") {
		t.Errorf("a skipped step is %q", text)
	}
	if text := summaryText(dpo.Config{}, dpo.Summary{First: &m, Last: &m}); !strings.Contains(text, "float16   loss scale 32768, 2 of 4 steps skipped\n") {
		t.Errorf("the summary is %q", text)
	}
	plain := dpo.Metrics{Step: 4, GradNorm: 2}
	if text := measured(dpo.Event{Metrics: &plain}) + summaryText(dpo.Config{}, dpo.Summary{First: &plain, Last: &plain}); strings.Contains(text, "skipped") || !strings.Contains(text, "norm 2.00") {
		t.Errorf("another step is %q", text)
	}
}

func TestProgressQuiet(t *testing.T) {
	var out bytes.Buffer
	p := (talk{quiet: true, format: "text"}).progress(&out)
	p.say("talk\n")
	for _, e := range run6() {
		p.show(e)
	}
	p.end()
	if out.Len() > 0 {
		t.Errorf("said %q", out.String())
	}
}

const columns = 80

// onTerminal gives what f writes to a terminal of 80 columns.
func onTerminal(t *testing.T, f func(tty io.Writer)) string {
	t.Helper()
	screen, tty, err := pty.Open()
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	defer screen.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	written := make(chan string)
	go func() {
		text, _ := io.ReadAll(screen) // it ends with an error once the terminal is closed
		written <- string(text)
	}()
	f(tty)
	tty.Close()
	return <-written
}

// On a terminal a bar is drawn over and over in one row, no wider than it, and what is to stay stands in rows of its own.
func TestProgressBar(t *testing.T) {
	text := onTerminal(t, func(tty io.Writer) {
		p := (talk{format: "text"}).progress(tty)
		for _, e := range run6() {
			p.show(e)
			time.Sleep(drawEvery)
		}
		p.end()
	})
	text = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(text, "")
	for _, row := range strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if n := utf8.RuneCountInString(row); n > columns {
			t.Errorf("a row is %d wide, the terminal %d: %q", n, columns, row)
		}
	}
	for _, want := range []string{`reference .*\(1/2\)`, `train  loss 0\.5000, accuracy 0\.75, 0\.\ds left  50% .*\(3/6\)`, `\n?\rsaved     out/run/checkpoints/step-000004\r\n`,
		`\rheld out  after step 6: loss 0\.2500, .*\r\n`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the terminal does not show %s:\n%q", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n != 2 {
		t.Errorf("%d rows stay, want 2 (saved, held out):\n%q", n, text)
	}
}
