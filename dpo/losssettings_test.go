package dpo

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Settings are read as they are written, in any order, and what is no setting is refused.
func TestLossSettingsAreReadAsWritten(t *testing.T) {
	var s LossSettings
	if err := s.Set("gamma=1.5, alpha=1e-3"); err != nil || s.String() != "alpha=0.001,gamma=1.5" {
		t.Errorf("%v (%v)", s, err)
	}
	if err := s.Set(""); err != nil || len(s) != 0 {
		t.Errorf("nothing gives %v (%v)", s, err)
	}
	for text, want := range map[string]string{"gamma": "write NAME=NUMBER", "gamma=": "write NAME=NUMBER", "gamma=1,,": "write NAME=NUMBER",
		"gamma=1,gamma=2": "gamma is given twice"} {
		if err := s.Set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

// A run without a reference computes none: its loss is that of log-probabilities alone.
func TestReferenceFreeRunsNoReference(t *testing.T) {
	c := tinyConfig(t)
	c.ReferenceFree, c.Steps = true, 2
	m := mustTrain(t, c)
	if _, err := os.Stat(filepath.Join(c.Out, runFolder, referenceFile)); err == nil {
		t.Error("a reference was kept")
	}
	if math.Abs(m[0].Chosen-c.Beta*m[0].ChosenLogps) > 1e-9 || m[0].Chosen > -1 {
		t.Errorf("reward %v of log-probabilities %v", m[0].Chosen, m[0].ChosenLogps)
	}
	c.Ref = c.Model
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "reference-free has no reference: leave out ref") {
		t.Errorf("with a reference: %v", err)
	}
}
