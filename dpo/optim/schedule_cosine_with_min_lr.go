package optim

import (
	"errors"
	"math"

	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// The cosine with a floor: of progress x after the warm-up, c = (1 + cos 2π·num_cycles·x) / 2 and the factor is
// max(0, c (1 − r) + r), with r = min_lr_rate or min_lr / lr.
func init() {
	registerSchedule(ScheduleKind{
		Name:  "cosine_with_min_lr",
		About: "falls to a floor on half a cosine",
		Settings: []settings.Setting{
			{Name: "min_lr_rate", Default: "0", Range: settings.AtLeast(0).AtMost(1), About: "the floor as a share of the rate"},
			{Name: "min_lr", Default: "0", Range: settings.AtLeast(0), About: "the floor itself, in place of min_lr_rate"},
			{Name: "num_cycles", Default: "0.5", Range: settings.Above(0), About: "waves"},
		},
		make: func(v settings.Resolved, run course) (curve, error) {
			floor, least := v.Number("min_lr_rate"), v.Number("min_lr")
			switch {
			case floor > 0 && least > 0:
				return curve{}, errors.New("min_lr_rate and min_lr are two words for one floor: give one of them")
			case least > run.rate:
				return curve{}, errors.New("min_lr lies above the learning rate")
			case least > 0:
				floor = least / run.rate
			case floor == 0:
				return curve{}, errors.New("the floor is missing: give min_lr_rate or min_lr, or take cosine, which falls to 0")
			}
			return curve{fall: func(i int) float64 {
				return floored((1+math.Cos(math.Pi*v.Number("num_cycles")*2*run.progress(i)))/2, floor)
			}}, nil
		},
	})
}

// floored lifts a factor between 0 and 1 to one between floor and 1.
func floored(factor, floor float64) float64 { return max(0, factor*(1-floor)+floor) }
