package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// talk says how a command speaks.
type talk struct {
	json, quiet bool
	format      string
	file        string
}

func (t *talk) bind(f *pflag.FlagSet) {
	f.BoolVar(&t.json, "json", false, "write the result to stdout as JSON")
	f.BoolVar(&t.quiet, "quiet", false, "say nothing on stderr but errors")
	f.StringVar(&t.format, "log-format", "text", "progress on stderr, and in --log-file, as text or json")
	f.StringVar(&t.file, "log-file", "", "file to add progress, warnings and errors to, each with its time, also with --quiet; from 10 MiB on it is put aside, and five are kept")
}

// progress shows events: a bar on a terminal, lines elsewhere.
type progress struct {
	talk
	out     io.Writer
	bar     *progressbar.ProgressBar // on a terminal, of the current phase
	phase   string
	started time.Time // the phase, or its rest after another
	begun   int       // units done by then
	last    time.Time // a line was written, or the bar drawn
	logged  time.Time // a line was written to the log file
}

// How often lines are written where there is no terminal, and a bar is drawn where there is one.
const (
	lineEvery = 5 * time.Second
	drawEvery = 100 * time.Millisecond
)

func (t talk) progress(w io.Writer) *progress {
	return &progress{talk: t, out: w}
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say writes a line of talk.
func (p *progress) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.format == "json" {
		return
	}
	said.log(text, nil)
	if !p.quiet {
		fmt.Fprint(p.out, text)
	}
}

func (p *progress) show(e dpo.Event) {
	stopping.working.Store(true)
	if e.Phase != p.phase {
		p.end()
		p.phase, p.started, p.begun = e.Phase, time.Now(), e.Done
	}
	if p.format == "json" || p.due(e, &p.logged) {
		said.log(p.line(e), e)
	}
	switch {
	case p.quiet:
	case p.format == "json":
		_ = json.NewEncoder(p.out).Encode(e)
	case terminal(p.out):
		p.draw(e)
	case p.due(e, &p.last):
		fmt.Fprintln(p.out, p.line(e))
	}
}

// due reports whether an event is told in a line, where there was one before.
func (p *progress) due(e dpo.Event, last *time.Time) bool {
	due := rare(e) || e.Done == e.Total || e.Done == 1 || time.Since(*last) >= lineEvery
	if due {
		*last = time.Now()
	}
	return due
}

// rare reports whether an event tells more than that a unit is done.
func rare(e dpo.Event) bool { return e.Evaluation != nil || e.Saved != "" || e.Warning != nil }

// draw shows an event in the row of the bar, or in a row that stays.
func (p *progress) draw(e dpo.Event) {
	if rare(e) {
		if p.bar != nil {
			_ = p.bar.Clear()
		}
		fmt.Fprintln(p.out, p.line(e))
		return
	}
	if p.bar == nil {
		total := e.Total
		if total == 0 {
			total = -1 // a spinner
		}
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.out), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionShowCount(), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	} else if e.Done < e.Total && time.Since(p.last) < drawEvery {
		return
	}
	p.last = time.Now()
	now := ""
	if m := e.Metrics; m != nil {
		now = fmt.Sprintf("  loss %.4f", m.Loss)
		if m.Objective != dpo.Likelihood && !m.Singles() {
			now += fmt.Sprintf(", accuracy %.2f", m.Accuracies)
		}
	}
	p.bar.Describe(e.Phase + now + p.left(e))
	_ = p.bar.Set(e.Done)
}

// end finishes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar, p.phase = nil, ""
	}
}

// line tells of an event in one line.
func (p *progress) line(e dpo.Event) string {
	switch {
	case e.Evaluation != nil:
		v := e.Evaluation
		if v.Objective == dpo.Likelihood {
			return fmt.Sprintf("held out  after step %d: loss %.4f (%d rows)", v.Step, v.Loss, v.Groups)
		}
		if v.Singles() {
			return fmt.Sprintf("held out  after step %d: loss %.4f, %s (%d answers)", v.Step, v.Loss, singles(v.Preferences), v.Groups)
		}
		return fmt.Sprintf("held out  after step %d: loss %.4f, accuracy %.4f, margin %.3f (%d groups)", v.Step, v.Loss, v.Accuracies, v.Margins, v.Groups)
	case e.Saved != "":
		return "saved     " + e.Saved
	case e.Warning != nil:
		return e.Warning.String()
	}
	of := ""
	if e.Total > 0 { // it is not known before JSON is read
		of = fmt.Sprint("/", e.Total)
	}
	return fmt.Sprintf("%-9s %d%s%s%s", e.Phase, e.Done, of, measured(e), p.left(e))
}

// left is the time that the rest of the phase takes at the pace so far.
func (p *progress) left(e dpo.Event) string {
	if e.Done <= p.begun || e.Done >= e.Total {
		return ""
	}
	elapsed := time.Since(p.started).Seconds()
	return ", " + duration(elapsed/float64(e.Done-p.begun)*float64(e.Total-e.Done)) + " left"
}

// singles tells of single answers.
func singles(p dpo.Preferences) string {
	if p.KL == nil {
		return fmt.Sprintf("margin %.3f", p.Margins)
	}
	return fmt.Sprintf("margin %.3f, KL %.3f", p.Margins, *p.KL)
}

func measured(e dpo.Event) string {
	var parts []string
	if m := e.Metrics; m != nil {
		parts = append(parts, fmt.Sprintf("loss %.4f", m.Loss))
		if m.Singles() {
			parts = append(parts, singles(m.Preferences))
		} else if m.Objective != dpo.Likelihood {
			parts = append(parts, fmt.Sprintf("accuracy %.2f, margin %.3f", m.Accuracies, m.Margins))
		}
		norm := fmt.Sprintf("norm %.2f", m.GradNorm)
		if m.Overflowed {
			norm = fmt.Sprintf("skipped at a loss scale of %v", m.LossScale)
		}
		parts = append(parts, fmt.Sprintf("%s, rate %.2g, %.0f tokens/s", norm, m.LearningRate, m.TokensPerSecond))
	}
	if parts == nil {
		return ""
	}
	return "  " + strings.Join(parts, ", ")
}

// duration writes seconds as "1h02m" or "3m04s" or "5.6s".
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%.1fs", seconds)
}
