package models

import (
	"maps"
	"math"
	"strings"
	"testing"
)

// longRope is tiny-phi3 with this scaling, for heads of which three pairs turn, extended from 4,096 positions to 131,072.
func longRope(t *testing.T, scaling, config map[string]any) (Decoder, error) {
	t.Helper()
	fields := map[string]any{"type": "longrope", "short_factor": []float64{1, 1.25, 1.5}, "long_factor": []float64{1.5, 3, 7}}
	maps.Copy(fields, scaling)
	change := map[string]any{"rope_scaling": fields, "original_max_position_embeddings": 4096, "max_position_embeddings": 131072}
	maps.Copy(change, config)
	return shapedLike(t, "tiny-phi3", change)
}

// Frequencies, magnitudes and the length at which the frequencies change are those that transformers 5.23 makes of Phi-3's configurations
// (Phi3Config, _compute_longrope_parameters, in float64).
func TestLongRope(t *testing.T) {
	const extended = 1.1902380714238083 // 32 times, from 4,096
	for name, c := range map[string]struct {
		scaling, config map[string]any
		trained         int
		magnitude       float64
	}{
		"plain":               {nil, nil, 4096, extended},
		"older name":          {map[string]any{"type": "su"}, nil, 4096, extended},
		"newer keys":          {map[string]any{"type": nil, "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}, map[string]any{"partial_rotary_factor": nil, "rope_theta": nil}, 4096, extended},
		"called yarn":         {map[string]any{"type": "yarn"}, nil, 4096, extended},
		"length absent":       {nil, map[string]any{"original_max_position_embeddings": nil}, 4096, extended},
		"length inside, too":  {map[string]any{"original_max_position_embeddings": 64}, map[string]any{"original_max_position_embeddings": 512, "max_position_embeddings": 1024}, 512, 1.0540925533894598},
		"factor":              {map[string]any{"factor": 2.0}, map[string]any{"original_max_position_embeddings": 512}, 512, 1.0540925533894598},
		"attention factor":    {map[string]any{"attention_factor": 1.25}, nil, 4096, 1.25},
		"not extended at all": {nil, map[string]any{"original_max_position_embeddings": 512, "max_position_embeddings": 512}, 512, 1},
	} {
		d, err := longRope(t, c.scaling, c.config)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Rope.Trained != c.trained || d.Steady() != c.trained || math.Abs(d.Rope.Magnitude-c.magnitude) > 1e-15 {
			t.Errorf("%s: trained on %d (steady to %d), magnitude %v; want %d, %v", name, d.Rope.Trained, d.Steady(), d.Rope.Magnitude, c.trained, c.magnitude)
		}
		for length, want := range map[int][]float64{
			0: {1, 0.03713271066890224, 0.0014362897933545896}, c.trained: {1, 0.03713271066890224, 0.0014362897933545896},
			c.trained + 1: {0.6666666666666666, 0.015471962778709266, 0.0003077763842902692}, 4 * c.trained: {0.6666666666666666, 0.015471962778709266, 0.0003077763842902692},
		} {
			for i, got := range d.Rope.Frequencies(length) {
				if math.Abs(got-want[i]) > 1e-14*want[i] {
					t.Errorf("%s, %d tokens: frequency %d is %v, want %v", name, length, i, got, want[i])
				}
			}
		}
		if a, b := d.Rope.Stretched(c.trained+1), d.Rope.Stretched(9*c.trained); a == 0 || a != b || d.Rope.Stretched(c.trained) != 0 {
			t.Errorf("%s: lengths %d and %d have frequencies of their own", name, a, b)
		}
	}
}

func TestLongRopeRefusesWhatGivesNoNumbers(t *testing.T) {
	for want, change := range map[string][2]map[string]any{
		"rope field long_factor holds 2 numbers: longrope needs 3": {{"long_factor": []float64{1, 2}}},
		"rope field long_factor holds 3 numbers":                   {{"long_factor": []float64{1, 2, 0}}},
		"rope field short_factor holds 3 numbers":                  {{"short_factor": []float64{1, 1e-300, 1}}},
		"rope field short_factor holds 0 numbers":                  {{"short_factor": nil}},
		"rope field short_mscale is not supported":                 {{"short_mscale": 1.5}},
		"attention_factor -1 must be positive":                     {{"attention_factor": -1}},
		"rope factor -2 and":                                       {{"factor": -2}},
		"needs 2 at least":                                         {nil, {"original_max_position_embeddings": 1}},
	} {
		if _, err := longRope(t, change[0], change[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
