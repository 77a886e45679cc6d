package loss

import "github.com/dpo-ort/dpo-ort/internal/settings"

// Identity preference optimization, Azar et al. 2023, arXiv 2310.12036, Equation 17, with log-probs averaged over tokens:
//
//	(ratio₁/|y₁| − ratio₂/|y₂| − 1/(2β))²,   ratio = log π(y|x) − log π_ref(y|x), |y| the scored tokens
//
// so that the loss does not grow with the answers' lengths. It is what TRL calls "ipo".
func init() {
	register(Loss{
		Name:       "ipo_mean",
		Says:       "as ipo, the log-probs of h averaged over each answer's tokens: what TRL calls ipo",
		Paper:      "Azar et al. 2023, arXiv 2310.12036, Equation 17, as TRL averages it",
		Settings:   []settings.Setting{beta},
		Pairs:      true,
		Averaged:   true,
		Difference: true,
		losses:     identity,
	})
}
