package dpo

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// unpairedBlock is how many rows are taken apart at a time: first all chosen answers, then all rejected ones, as TRL has it. So without
// shuffling the answers of a pair do not stand next to each other, where [mismatched] would set one beside the other's prompt, its own.
const unpairedBlock = 1000

// unpair takes the pairs among rows apart where the loss is of single answers, and says so once.
func (t *Trainer) unpair(examples []datasets.Example) []datasets.Example {
	if !t.loss.Unpaired {
		return examples
	}
	var out []datasets.Example
	pairs := 0
	for block := range slices.Chunk(examples, unpairedBlock) {
		var rejected []datasets.Example
		for _, x := range block {
			two := datasets.Unpair(x)
			if two == nil {
				out = append(out, x)
				continue
			}
			pairs++
			out, rejected = append(out, two[0]), append(rejected, two[1])
		}
		out = append(out, rejected...)
	}
	if pairs > 0 {
		t.warn("unpaired", fmt.Sprintf("loss %s takes single answers: each of %d pairs is two rows of its own, the chosen answer good, the rejected one not", t.loss.Name, pairs),
			"a step of --batch rows has half as many pairs; data with columns prompt, completion and label is taken as it is")
	}
	return out
}

// checkLabel refuses a row that a loss of single answers is not defined for.
func (t *Trainer) checkLabel(x datasets.Example) error {
	switch k := len(x.Completions); {
	case k > 1:
		return fmt.Errorf("it has %d answers in an order that is no plain pair; loss %s takes single answers (columns prompt, completion and label) or pairs", k, t.loss.Name)
	case x.Label == datasets.Worded:
		return fmt.Errorf("its label is a string; loss %s needs true or false without quotation marks, or 1 and 0, in the column label (or kto_tag)", t.loss.Name)
	case x.Label == datasets.Unlabelled:
		return fmt.Errorf("its answer has no label; loss %s needs the column label, true or false", t.loss.Name)
	}
	return nil
}

// mismatched gives each group's prompt the answer of the group before, the first that of the last, as TRL does within a batch. An answer loses
// its end where it does not fit; where a prompt is so empty that nothing of it could be scored, the group keeps its own.
func mismatched(groups []datasets.Example, maxLength int) []datasets.Example {
	out := make([]datasets.Example, len(groups))
	for i, x := range groups {
		c := groups[(i+len(groups)-1)%len(groups)].Completions[0]
		ids := c.IDs[c.Start:]
		ids = ids[:min(len(ids), max(maxLength-len(x.Prompt), 1))]
		out[i] = datasets.Example{Prompt: x.Prompt, Completions: []datasets.Completion{{IDs: ids}}, File: x.File, Row: x.Row}
		if scoredTokens(out[i]) == 0 {
			out[i].Completions = x.Completions
		}
	}
	return out
}

// drifts reports whether the loss asks how far the policy has moved on answers to other prompts.
func (t *Trainer) drifts() bool {
	return t.policy.engine.Artifact().Graphs[lossGraph].Input("drift") != nil
}

// drift is log π − log π_ref of [mismatched], [G]; nil where the loss does not ask for it. A step's mismatches depend on its rows, so the
// reference is run beside the policy.
func (t *Trainer) drift(groups []datasets.Example) ([]float64, error) {
	if !t.drifts() {
		return nil, nil
	}
	others := mismatched(groups, t.MaxLength)
	micros := microBatches(others, sequence(0, len(others)), t.MicroBatch, t.memoryPlan.MicroTokens)
	policy, err := scoreAll(t.policyLanes(t.policy.weights), others, micros)
	if err != nil {
		return nil, err
	}
	if err := t.openBeside(); err != nil {
		return nil, err
	}
	reference, err := scoreAll(t.beside.lanes, others, micros)
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	out := make([]float64, len(groups))
	for g := range out {
		out[g] = policy[g][0] - reference[g][0]
	}
	return out, nil
}
