package dpo

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
