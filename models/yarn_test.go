package models

import (
	"maps"
	"math"
	"strings"
	"testing"
)

// yarnScaling is rope_parameters of this type, for the small configuration's heads of 8 entries.
func yarnScaling(change map[string]any) map[string]any {
	fields := map[string]any{"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 512}
	maps.Copy(fields, change)
	return map[string]any{"rope_parameters": fields}
}

// Frequencies and magnitudes are those of transformers' _compute_yarn_parameters, in float64. The other three pairs always
// keep their frequency, or a quarter of it.
func TestYarn(t *testing.T) {
	for name, c := range map[string]struct {
		change            map[string]any
		second, magnitude float64
	}{
		"plain":            {nil, 0.0625, 1.138629436111989},
		"not truncated":    {map[string]any{"truncate": false}, 0.07039863663460479, 1.138629436111989},
		"betas":            {map[string]any{"beta_fast": 16, "beta_slow": 2, "truncate": false}, 0.07566439439100797, 1.138629436111989},
		"mscale":           {map[string]any{"mscale": 0.5, "mscale_all_dim": 2.0}, 0.0625, 0.8371949816203595},
		"attention factor": {map[string]any{"attention_factor": 1.5}, 0.0625, 1.5},
		"trained on 8":     {map[string]any{"original_max_position_embeddings": 8}, 0.025, 1.138629436111989},
		"trained on 64":    {map[string]any{"original_max_position_embeddings": nil}, 0.0625, 1.138629436111989},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := describe(t, yarnScaling(c.change))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []float64{1, c.second, 0.0025, 0.00025} {
				if got := d.Rope.InvFreq[i]; math.Abs(got-want) > 1e-15 {
					t.Errorf("frequency %d is %v, want %v", i, got, want)
				}
			}
			if math.Abs(d.Rope.Magnitude-c.magnitude) > 1e-15 {
				t.Errorf("magnitude %v, want %v", d.Rope.Magnitude, c.magnitude)
			}
		})
	}
}

func TestYarnGrowsRotations(t *testing.T) {
	cos, sin := Rope{Magnitude: 1.5}.Rotation([]float64{0.5}, 3, nil, nil)
	if cos[0] != 1.5*math.Cos(1.5) || sin[0] != 1.5*math.Sin(1.5) {
		t.Errorf("cos %v, sin %v", cos, sin)
	}
}

func TestYarnRefusesWhatGivesNoNumbers(t *testing.T) {
	for want, change := range map[string]map[string]any{
		"rope factor must be at least 1":         {"factor": nil},
		"rope type yarn needs rope_theta above ": {"rope_theta": 1},
		"no negative beta_fast":                  {"beta_fast": -1},
		"rope field short_factor":                {"short_factor": []float64{1}},
		"partial_rotary_factor 0.5":              {"partial_rotary_factor": 0.5},
	} {
		if _, err := describe(t, yarnScaling(change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
