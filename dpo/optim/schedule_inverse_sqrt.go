package optim

import (
	"math"

	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// The inverse square root: √(T / (T + i − warmup)) of step i after the warm-up, with the time scale T.
func init() {
	registerSchedule(ScheduleKind{
		Name:  "inverse_sqrt",
		About: "falls as the inverse square root of the step",
		Settings: []settings.Setting{
			{Name: "timescale", Default: "0", Range: settings.AtLeast(0).Whole(), About: "steps after which it has fallen to 0.71; 0: the warm-up's, or 10,000 without one"},
		},
		make: func(v settings.Resolved, run course) (curve, error) {
			scale := v.Number("timescale")
			if scale == 0 {
				scale = float64(run.warmup)
			}
			if scale == 0 {
				scale = 10000
			}
			return curve{fall: func(i int) float64 { return 1 / math.Sqrt((float64(i-run.warmup)+scale)/scale) }}, nil
		},
	})
}
