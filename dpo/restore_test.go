package dpo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// A run whose settings were changed after a checkpoint is refused by their names; files that were moved, and more memory, are not.
func TestResumeRefusesChangedSettings(t *testing.T) {
	c := tinyConfig(t)
	if _, err := train(t, c, false, func(step int) bool { return step == 2 }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	for want, set := range map[string]func(c *Config){
		"lr was 0.001, is 0.002":            func(c *Config) { c.LR = 2e-3 },
		"steps was 6, is 7":                 func(c *Config) { c.Steps = 7 },
		"beta was 0.1, is 0.5; seed was 0,": func(c *Config) { c.Beta, c.Seed = 0.5, 1 },
	} {
		other := c
		set(&other)
		if _, err := train(t, other, true, nil); err == nil || !strings.Contains(err.Error(), configFile+" is not what it was: "+want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	moved := filepath.Join(t.TempDir(), "moved.jsonl")
	if err := os.Rename(c.Data[0], moved); err != nil {
		t.Fatal(err)
	}
	c.Data, c.Memory = []string{moved}, "50%"
	if _, err := train(t, c, true, nil); err != nil {
		t.Errorf("moved data: %v", err)
	}
}

// A checkpoint of another format, which is whole, is no damaged one.
func TestCheckpointOfAnotherVersion(t *testing.T) {
	c := tinyConfig(t)
	if _, err := train(t, c, false, func(step int) bool { return step == 2 }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	file := filepath.Join(c.Out, runFolder, checkpointFolder, checkpointName(2), stateFile)
	var s state
	if err := readSealed(file, &s); err != nil {
		t.Fatal(err)
	}
	s.Format++
	if err := writeSealed(file, s); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, true, nil); err == nil || !strings.Contains(err.Error(), "go on with the version of dpo-ort that wrote it") {
		t.Errorf("error %v", err)
	}
}

// One process at a time writes a run; who comes second is told whose it is.
func TestRunsAreOfOneProcess(t *testing.T) {
	c := tinyConfig(t)
	tok := loadTokenizer(t, c.Model)
	first, err := NewTrainer(c, tok, false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := NewTrainer(c, tok, false) // nothing is written yet
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for e, err := range first.Run(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Metrics == nil || e.Metrics.Step != 2 {
			continue
		}
		if _, err := train(t, c, true, nil); !errors.Is(err, safefile.ErrLocked) || !strings.Contains(err.Error(), "(process ") {
			t.Errorf("resumed while it runs: %v", err)
		}
		for _, err := range second.Run(t.Context()) {
			if !errors.Is(err, safefile.ErrLocked) {
				t.Errorf("begun while it runs: %v", err)
			}
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range second.Run(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "holds another run by now") {
			t.Errorf("begun after it ran: %v", err)
		}
	}
}
