package optim

import (
	"fmt"
	"math"

	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395, section 4): the rate stays until the last num_decay_steps of the run
// and falls then. With x from 0 to 1 within the warm-up or the decay, a shape's factor f and the floor r, it is f (1 − r) + r.
func init() {
	shapes := []string{"linear", "cosine", "1-sqrt"}
	registerSchedule(ScheduleKind{
		Name:  "warmup_stable_decay",
		About: "stays, and falls in the run's last steps (WSD)",
		Settings: []settings.Setting{
			{Name: "num_decay_steps", Default: "0", Range: settings.AtLeast(0).Whole(), About: "steps of the fall; 0: a tenth of the run"},
			{Name: "decay_type", Default: "cosine", Words: shapes, About: "how it falls"},
			{Name: "warmup_type", Default: "linear", Words: shapes, About: "how it rises"},
			{Name: "min_lr_ratio", Default: "0", Range: settings.AtLeast(0).AtMost(1), About: "the floor, from which it also rises, as a share of the rate"},
			{Name: "num_cycles", Default: "0.5", Range: settings.Above(0), About: "waves of a cosine fall"},
		},
		make: func(v settings.Resolved, run course) (curve, error) {
			steps := int(v.Number("num_decay_steps"))
			if steps == 0 {
				steps = run.total / 10
			}
			from, floor := run.total-steps, v.Number("min_lr_ratio")
			if from < run.warmup {
				return curve{}, fmt.Errorf("num_decay_steps %d and %d steps of warm-up are more than the run's %d", steps, run.warmup, run.total)
			}
			rise, fall := rises[v.Word("warmup_type")], falls(v.Word("decay_type"), v.Number("num_cycles"))
			return curve{
				rise: func(x float64) float64 { return floored(rise(x), floor) },
				fall: func(i int) float64 {
					switch {
					case i < from:
						return 1
					case i >= run.total:
						return floor
					}
					return floored(fall(float64(i-from)/float64(steps)), floor)
				},
			}, nil
		},
	})
}

var rises = map[string]func(x float64) float64{
	"linear": func(x float64) float64 { return x },
	"cosine": func(x float64) float64 { return (1 - math.Cos(math.Pi*x)) / 2 },
	"1-sqrt": func(x float64) float64 { return 1 - math.Sqrt(1-x) },
}

func falls(shape string, cycles float64) func(x float64) float64 {
	switch shape {
	case "cosine":
		return func(x float64) float64 { return (1 + math.Cos(math.Pi*cycles*2*x)) / 2 }
	case "1-sqrt":
		return func(x float64) float64 { return 1 - math.Sqrt(x) }
	}
	return func(x float64) float64 { return 1 - x }
}
