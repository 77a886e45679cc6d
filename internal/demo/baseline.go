package demo

import "strings"

// ByLength is the accuracy on held-out pairs of preferring the longer answer, or the shorter, whichever does better on the training
// pairs; a tie is half right.
func (p Preferences) ByLength() float64 {
	longer := func(answer string) float64 { return float64(len(strings.Fields(answer))) }
	if accuracy(p.Train, longer) >= 0.5 {
		return accuracy(p.HeldOut, longer)
	}
	return accuracy(p.HeldOut, func(answer string) float64 { return -longer(answer) })
}

// ByFirstWord is the accuracy on held-out pairs of preferring the answer whose first word was more often chosen than rejected in the
// training pairs.
func (p Preferences) ByFirstWord() float64 {
	first := func(answer string) string { return strings.Fields(answer)[0] }
	chosen, all := map[string]float64{}, map[string]float64{}
	for _, pair := range p.Train {
		chosen[first(pair.Chosen)]++
		all[first(pair.Chosen)]++
		all[first(pair.Rejected)]++
	}
	return accuracy(p.HeldOut, func(answer string) float64 {
		return (chosen[first(answer)] + 1) / (all[first(answer)] + 2)
	})
}

// accuracy is the share of pairs whose chosen answer scores higher; a tie is half right.
func accuracy(pairs []Pair, score func(answer string) float64) float64 {
	right := 0.0
	for _, p := range pairs {
		switch a, b := score(p.Chosen), score(p.Rejected); {
		case a > b:
			right++
		case a == b:
			right += 0.5
		}
	}
	return right / float64(len(pairs))
}
