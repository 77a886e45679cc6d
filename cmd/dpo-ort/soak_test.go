//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/trend"
)

// TestTortureSoak trains for a while, saving and measuring every few steps, and holds that memory does not grow: resident memory is
// sampled each second, and by the last three quarters of the samples its slope's upper 95 % limit must be under 4 MiB/h. The long form
// takes 40 minutes, or DPO_ORT_SOAK; the short one, 20 seconds, shows that all of it works, for its slope says nothing.
// The samples go to DPO_ORT_SOAK_FILE, where that is set.
func TestTortureSoak(t *testing.T) {
	const bar = 4.0 // MiB/h
	long := golden.Long()
	last := 20 * time.Second
	if long {
		last = 40 * time.Minute
	}
	if set := os.Getenv("DPO_ORT_SOAK"); set != "" {
		var err error
		if last, err = time.ParseDuration(set); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	model, all := soakData(t)
	rows := 256
	if long {
		rows = 1024
	}
	pairs, held := filepath.Join(dir, "pairs.jsonl"), filepath.Join(dir, "held-out.jsonl")
	if err := errors.Join(os.WriteFile(pairs, firstLines(t, all, rows), 0o644), os.WriteFile(held, firstLines(t, all, 64), 0o644)); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir, "train     1/", "train", "--model", model, "--data", pairs, "--eval-data", held, "--out", "out", "--cache", "none",
		"--beta", "0.1", "--lr", "1e-6", "--batch", "16", "--steps", "100000000", "--eval-every", "5", "--save-every", "5", "--keep", "2", "--threads", "1")
	r.signal(t) // waits for its first step
	samples := watchMemory(t, r.cmd.Process.Pid, last)
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("it has ended: %v\n%s", err, r.said.text.String())
	}
	r.ends(t, exitInterrupted, 25*time.Second, `error: interrupted after step \d+ of 100000000, saved as`)
	if path := os.Getenv("DPO_ORT_SOAK_FILE"); path != "" {
		writeSamples(t, path, samples)
	}

	text, err := os.ReadFile(filepath.Join(dir, "out/run/metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	evaluations := bytes.Count(text, []byte(`"eval_loss"`))
	steps := bytes.Count(text, []byte("\n")) - evaluations
	if evaluations < 2 || evaluations < steps/5 {
		t.Errorf("%d evaluations in %d steps, want one every five", evaluations, steps)
	}
	settled := samples[len(samples)/4:]
	var hours, mib []float64
	for _, s := range settled {
		hours, mib = append(hours, s.hours), append(mib, s.mib)
	}
	slope, upper := trend.Slope(hours, mib)
	t.Logf("soak: %s in %v: %d steps, %d evaluations, about %d saves; %d samples from %.1f to %.1f MiB; over the last %d the slope is %.2f MiB/h, upper 95 %% limit %.2f",
		filepath.Base(model), last, steps, evaluations, steps/5, len(samples), samples[0].mib, samples[len(samples)-1].mib, len(settled), slope, upper)
	if math.IsNaN(upper) || len(samples) < int(max(100, last.Seconds())*0.9) {
		t.Errorf("%d samples in %v, upper limit %v", len(samples), last, upper)
	}
	if long && !(upper < bar) {
		t.Errorf("memory may grow by %.2f MiB/h, want under %v", upper, bar)
	}
}

// soakData is a small real model with its data where it is there, else the project's tiny ones.
func soakData(t *testing.T) (model, pairs string) {
	t.Helper()
	shared := filepath.Join(filepath.Dir(golden.Root(t)), "shared/data")
	model, pairs = filepath.Join(shared, "models/stories260K-hf"), filepath.Join(shared, "pref/stories-sentiment-train.pairs.jsonl")
	if exists(model) && exists(pairs) {
		return model, pairs
	}
	return golden.Testdata(t, "models", "tiny-llama"), golden.Testdata(t, "pref", "tiny.pairs.jsonl")
}

func firstLines(t *testing.T, path string, n int) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	for lines := bufio.NewReader(f); n > 0; n-- {
		line, err := lines.ReadBytes('\n')
		if out.Write(line); err != nil {
			break
		}
	}
	return out.Bytes()
}

// A memorySample is the resident memory of a process at a time.
type memorySample struct{ hours, mib, anonymous float64 }

// watchMemory samples a process each second, or 100 times.
func watchMemory(t *testing.T, pid int, last time.Duration) (samples []memorySample) {
	t.Helper()
	began := time.Now()
	for tick := time.NewTicker(min(time.Second, last/100)); time.Since(began) < last; <-tick.C {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		s := memorySample{time.Since(began).Hours(), kib(t, text, "VmRSS:") / 1024, kib(t, text, "RssAnon:") / 1024}
		samples = append(samples, s)
	}
	return samples
}

func kib(t *testing.T, status []byte, name string) float64 {
	t.Helper()
	_, after, found := strings.Cut(string(status), "\n"+name)
	if fields := strings.Fields(after); found && len(fields) > 0 {
		if n, err := strconv.ParseFloat(fields[0], 64); err == nil {
			return n
		}
	}
	t.Fatalf("the process's status has no %s:\n%s", name, status)
	return 0
}

func writeSamples(t *testing.T, path string, samples []memorySample) {
	t.Helper()
	text := []byte("seconds\trss_mib\tanonymous_mib\n")
	for _, s := range samples {
		text = fmt.Appendf(text, "%.1f\t%.3f\t%.3f\n", s.hours*3600, s.mib, s.anonymous)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
