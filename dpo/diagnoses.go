package dpo

import (
	"fmt"
	"math"
)

// A diagnosis is a failure that a run shows by its numbers. look says what is seen, "" where it is not (yet): before the first step, after
// each step and evaluation, and when the run is over.
type diagnosis struct {
	name string
	look func(*watcher) (what, hint string)
}

// diagnoses are all that are known. A row here is all that another one takes, and cases for it in the tests.
var diagnoses = []diagnosis{
	{"zero-rate", zeroRate},
	{"adapter-not-attached", adapterNotAttached},
	{"zero-gradient", zeroGradient},
	{"updates-too-small", updatesTooSmall},
	{"shared-reference", sharedReference},
	{"little-learnt", littleLearnt},
	{"reference-differs", referenceDiffers},
	{"unlikely-answers", unlikelyAnswers},
	{"flipped-labels", flippedLabels},
	{"over-optimised", overOptimised},
	{"both-rewards-fall", bothRewardsFall},
	{"skipped-steps", skippedSteps},
}

const (
	// Rewards this near to 0 have not moved so that it can be seen: the loss of a pair is then within 1e-3 of where it began.
	still = 2e-3
	// Equal models differ by rounding alone: in bfloat16 by 0.2 nats in an answer of 40 tokens, which is 0.005 a token. Two models that were
	// trained apart differ by tenths of a nat a token.
	apartAToken = 0.02
	// Where log-probabilities differ to both sides, their mean may hide it, and the loss, which is convex, does not: by this share.
	apartLoss = 0.02
	// A model of text like this comes to 0.15 to 0.35 of a uniform guess's nats a token; stories260K, which knows children's stories
	// alone, to 0.28 on them, and to 0.72 on the chats of UltraFeedback.
	nearChance = 2.0 / 3
	// Four standard errors under one half come by chance once in 30,000 evaluations.
	underHalf = 4
	// So many evaluations above the lowest one are no accident of one of them.
	risingEvaluations = 3
	// By this share the loss must have risen (of losses under 1, by this much), so that a curve that is flat is not taken for one that rises.
	risen = 0.02
	// The chosen answers' perplexity is a fifth higher than by the reference. Runs that stay near it, and whose held-out accuracy rises, come to
	// half of that: any step that takes a rejected answer down takes its words down where the chosen one has them too. Stories260K at β 0.1
	// and a rate of 3e-4 comes to 0.33, and is over-optimised.
	fallenAToken = 0.2
	// A loss scale that fits is found by a few halvings at the start, and tried again once in 2,000 steps: both are a far smaller share of a run.
	skippedShare = 0.1
)

// settled reports whether a failure to move anything can be judged: the full rate was used in two steps, or the run is over.
func (w *watcher) settled() bool {
	return w.last != nil && w.last.updates() > 0 && (w.over || w.last.updates() >= w.warmup()+3)
}

func zeroRate(w *watcher) (what, hint string) {
	if w.first != nil { // known before the first step
		return "", ""
	}
	for i := range w.total {
		if w.schedule.Rate(i) > 0 {
			return "", ""
		}
	}
	what = fmt.Sprintf("the learning rate is 0 in all %d steps (--lr %g, schedule %s, warm-up %d): no weight moves and the loss stays where it begins",
		w.total, w.LR, w.Schedule, w.warmup())
	if w.LR > 0 {
		return what, "take more --steps, or lower --warmup"
	}
	return what, "raise --lr"
}

// adapterNotAttached knows an adapter whose A and B are both zero, as of a tool that saved it before it was made: neither is ever given a gradient.
func adapterNotAttached(w *watcher) (what, hint string) {
	if !w.settled() || w.rate == 0 || w.norm > 0 || w.policy.model.Adapter == nil {
		return "", ""
	}
	return fmt.Sprintf("the adapter %s is not attached: nothing that it holds changes what the model computes, the gradient's norm is 0 in each of %d steps, and %s",
		w.Model, w.last.Step, w.stays()), "its A and B are zero, both: begin with a new one (--adapter lora)"
}

func zeroGradient(w *watcher) (what, hint string) {
	if !w.settled() || w.rate == 0 || w.norm > 0 || w.policy.model.Adapter != nil {
		return "", ""
	}
	what = fmt.Sprintf("the gradient's norm is 0 in each of %d steps, so no weight moves and %s", w.last.Step, w.stays())
	even := 0
	for _, x := range w.rows.Examples {
		if tied(x, 0, len(x.Completions)-1) {
			even++
		}
	}
	if len(w.rows.Examples[0].Completions) > 1 && even > 0 {
		return what, fmt.Sprintf("in %d of %d rows the best and the worst answer are tied, or votes are even: leave them out", even, len(w.rows.Examples))
	}
	return what, "look at the model's weights: those of a layer, or of the head, may all be 0"
}

// stays says that the loss is where it began, and what its value at margin 0 is.
func (w *watcher) stays() string {
	if w.Objective != Reward && w.unreferenced() {
		return fmt.Sprintf("the loss stays at %.4f", w.last.Loss)
	}
	return fmt.Sprintf("the loss stays at %.4f (at margin 0 it is %.4f)", w.last.Loss, w.atNoMargin())
}

// dead reports a run that has a rate and a gradient, and whose rewards are 0 to the last bit in each step; of one without a
// reference, whatever its loss is.
func (w *watcher) dead() bool {
	return w.settled() && w.rate > 0 && w.norm > 0 && (w.unreferenced() || !w.rewarded) && (w.last.Step > 1 || w.unreferenced())
}

func updatesTooSmall(w *watcher) (what, hint string) {
	if !w.dead() || w.moved() {
		return "", ""
	}
	return fmt.Sprintf("%d updates at a rate of %.2g at most and a gradient of norm %.2g left every weight as it was, since each is less than float32 tells apart: %s",
		w.last.Step, w.rate, w.norm, w.stays()), "raise --lr"
}

func sharedReference(w *watcher) (what, hint string) {
	if w.unreferenced() || w.SyncRefModel || !w.dead() || !w.moved() {
		return "", ""
	}
	return fmt.Sprintf("the weights have moved in %d steps, and all rewards and the margin are exactly 0: the reference moves with the policy, as if they shared their memory; %s",
		w.last.Step, w.stays()), "compute the reference before (dpo-ort score --ref, then train on its output), and report this: it is a fault of the program"
}

func littleLearnt(w *watcher) (what, hint string) {
	if !w.over || w.last == nil || w.last.Step < 2 || w.unreferenced() || !w.rewarded {
		return "", ""
	}
	p := w.late()
	if math.Abs(p.Margins) >= still || math.Abs(p.Chosen) >= still {
		return "", ""
	}
	what = fmt.Sprintf("nothing was learnt that can be seen: %d steps at a rate of %.2g moved the margin by %.1e, and the loss from %.4f to %.4f (at margin 0 it is %.4f)",
		w.last.Step, w.rate, p.Margins, w.first.Loss, p.Loss, w.atNoMargin())
	if w.warmup() >= w.total {
		return what, fmt.Sprintf("lower --warmup: its %d steps are as long as the run, whose rate never reached --lr %g", w.warmup(), w.LR)
	}
	return what, "raise --lr, or take more steps"
}

// apart reports whether policy and reference differ before the first update.
func (w *watcher) apart() bool {
	if w.first == nil || w.unreferenced() || w.first.Chosen == 0 && w.first.Rejected == 0 {
		return false
	}
	tokens := 0.0
	rows := w.order.step(0)
	for _, x := range pick(w.rows.Examples, rows) {
		tokens += float64(scored(x, 0)) / float64(len(rows))
	}
	nats, begun := max(math.Abs(w.first.Chosen), math.Abs(w.first.Rejected))/w.Beta, w.atNoMargin()
	return nats > apartAToken*tokens || math.Abs(w.first.Loss-begun) > apartLoss*max(1, begun)
}

func referenceDiffers(w *watcher) (what, hint string) {
	if !w.apart() {
		return "", ""
	}
	what = fmt.Sprintf("policy and reference differ before the first step: its loss is %.4f (%.4f where they are equal), and log π − log πref is %.2f nats in the mean of the chosen answers, %.2f of the rejected",
		w.first.Loss, w.atNoMargin(), w.first.Chosen/w.Beta, w.first.Rejected/w.Beta)
	if w.Ref != "" {
		return what, "leave out --ref, so that the model is its own reference, unless it is meant to be another one"
	}
	return what, "give --ref-columns ignore, so that the reference is computed with the model as it is"
}

func unlikelyAnswers(w *watcher) (what, hint string) {
	if w.last == nil || w.weighed || w.unreferenced() || w.refs == nil {
		return "", ""
	}
	rows := w.rows.Examples
	if w.streams() {
		rows = rows[:min(w.Batch, len(rows))]
	}
	nats, tokens, answers := 0.0, 0, 0
	for i, x := range rows {
		if i < len(w.refs.Train) && w.refs.Train[i] != nil {
			nats, tokens, answers = nats-w.refs.Train[i][0], tokens+scored(x, 0), answers+1
		}
	}
	w.weighed = answers > 0
	each, chance := nats/float64(max(1, tokens)), math.Log(float64(w.policy.model.Vocab))
	if each < nearChance*chance {
		return "", ""
	}
	return fmt.Sprintf("the chosen answers are unlikely by the reference: %.2f nats a token in %d answers, where a uniform guess among its %d tokens has %.2f; DPO moves weights well only near what the reference writes",
		each, answers, w.policy.model.Vocab, chance), "train it on them first: dpo-ort sft --on chosen, and give train the model that comes out"
}

func flippedLabels(w *watcher) (what, hint string) {
	if w.last == nil || w.Objective == Likelihood || w.loss.Unpaired || w.apart() {
		return "", ""
	}
	hint = "are the labels flipped? compare some rows: chosen is the better answer, rank 1 the best, a higher score better"
	begun := !w.unreferenced() // rewards begin at 0, so whatever sign they have was learnt; without a reference they begin by chance
	if n := len(w.evaluations); n > 0 && (begun || w.over) {
		e := w.evaluations[n-1]
		if z := belowHalf(e.Accuracies, e.Groups); z > underHalf && e.Margins < -still {
			return fmt.Sprintf("the reward prefers the wrong answer of held-out data: accuracy %.4f in %d groups, %.1f standard errors under one half, margin %.3f after step %d",
				e.Accuracies, e.Groups, z, e.Margins, e.Step), hint
		}
	}
	if e := w.early; begun && e.steps > 0 {
		steps := float64(e.steps)
		groups := e.steps * min(w.Batch, len(w.rows.Examples))
		if z := belowHalf(e.right/steps, groups); z > underHalf && e.margins/steps < -still {
			return fmt.Sprintf("from the first steps on the reward prefers the wrong answer: accuracy %.4f in %d groups, %.1f standard errors under one half, margin %.3f",
				e.right/steps, groups, z, e.margins/steps), hint
		}
	}
	return "", ""
}

// belowHalf is by how many standard errors an accuracy lies under that of a coin.
func belowHalf(accuracy float64, groups int) float64 {
	return (0.5 - accuracy) * 2 * math.Sqrt(float64(groups))
}

func overOptimised(w *watcher) (what, hint string) {
	n := len(w.evaluations) - 1
	if n < 0 || w.EarlyStop > 0 || w.said("flipped-labels") { // which makes it rise too
		return "", ""
	}
	best := 0
	for i, e := range w.evaluations {
		if e.Loss <= w.evaluations[best].Loss {
			best = i
		}
	}
	if n-best < risingEvaluations {
		return "", ""
	}
	low, now, after := w.evaluations[best], w.evaluations[n], w.evaluations[best+1]
	if now.Loss-low.Loss < risen*max(1, low.Loss) || now.Loss <= w.evaluations[n-1].Loss || now.trained >= after.trained {
		return "", ""
	}
	return fmt.Sprintf("the loss on held-out data rises, from %.4f after step %d to %.4f after step %d, while that of training falls, from %.4f to %.4f: the run over-optimises",
		low.Loss, low.Step, now.Loss, now.Step, after.trained, now.trained), fmt.Sprintf("stop earlier: --early-stop %d keeps the best, or take fewer epochs, a lower --lr or a higher --beta", risingEvaluations)
}

func bothRewardsFall(w *watcher) (what, hint string) {
	if !w.over || w.last == nil || w.unreferenced() {
		return "", ""
	}
	p, tokens := w.late(), 0.0
	for _, x := range w.rows.Examples {
		tokens += float64(scored(x, 0)) / float64(len(w.rows.Examples))
	}
	fallen := -p.Chosen / w.Beta
	if fallen < fallenAToken*tokens || p.Margins < still {
		return "", ""
	}
	return fmt.Sprintf("both rewards fell while the margin grew to %.3f: chosen %.3f, rejected %.3f, so the chosen answers are %.1f nats less likely than by the reference, %.2f a token; DPO asks only that the rejected ones fall further",
		p.Margins, p.Chosen, p.Rejected, fallen, fallen/tokens), "a higher --beta or a lower --lr stays nearer to the reference; it is no fault as long as held-out accuracy rises"
}

func skippedSteps(w *watcher) (what, hint string) {
	if !w.over || w.last == nil || w.last.Scaling == nil || float64(w.last.SkippedSteps) <= skippedShare*float64(w.last.Step) {
		return "", ""
	}
	return fmt.Sprintf("%d of %d steps were skipped, for their gradients overflowed float16: the loss scale, %v at first, came to %v", w.last.SkippedSteps, w.last.Step, firstScale, w.last.LossScale),
		"compute in bfloat16 (--dtype bfloat16), whose range is that of float32, or take more steps"
}
