package main

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// summaryText tells what a run came to, a line for each thing that there is to say.
func summaryText(c dpo.Config, s dpo.Summary) string {
	var b strings.Builder
	if s.First != nil {
		fmt.Fprintf(&b, "trained   steps %d to %d: loss %.4f to %.4f, ", s.First.Step, s.Last.Step, s.First.Loss, s.Last.Loss)
		if c.Objective == dpo.Likelihood {
			fmt.Fprintf(&b, "perplexity %.2f to %.2f\n", math.Exp(s.First.Loss), math.Exp(s.Last.Loss))
		} else if s.Last.Singles() {
			fmt.Fprintf(&b, "margin %.3f to %.3f\n", s.First.Margins, s.Last.Margins)
		} else {
			fmt.Fprintf(&b, "accuracy %.2f to %.2f, margin %.3f to %.3f\n", s.First.Accuracies, s.Last.Accuracies, s.First.Margins, s.Last.Margins)
		}
	}
	if e := s.Evaluation; e != nil {
		from := func(format string, of func(*dpo.Evaluation) float64) string {
			if s.FirstEvaluation.Step == e.Step {
				return fmt.Sprintf(format, of(e))
			}
			return fmt.Sprintf(format+" to "+format, of(s.FirstEvaluation), of(e))
		}
		fmt.Fprintf(&b, "held out  %d groups: loss %s, ", e.Groups, from("%.4f", func(e *dpo.Evaluation) float64 { return e.Loss }))
		if c.Objective == dpo.Likelihood {
			fmt.Fprintf(&b, "perplexity %s\n", from("%.2f", func(e *dpo.Evaluation) float64 { return math.Exp(e.Loss) }))
		} else if e.Singles() {
			fmt.Fprintf(&b, "margin %s\n", from("%.3f", func(e *dpo.Evaluation) float64 { return e.Margins }))
		} else {
			fmt.Fprintf(&b, "accuracy %s, margin %s\n", from("%.4f", func(e *dpo.Evaluation) float64 { return e.Accuracies }),
				from("%.3f", func(e *dpo.Evaluation) float64 { return e.Margins }))
		}
	}
	if best := s.Best; best != nil {
		fmt.Fprintf(&b, "best      held-out loss %.4f after step %d of %d: the model saved\n", best.Loss, best.Step, s.Steps)
	}
	if s.Last != nil && s.Last.Scaling != nil {
		fmt.Fprintf(&b, "float16   loss scale %v, %d of %d steps skipped\n", s.Last.LossScale, s.Last.SkippedSteps, s.Last.Step)
	}
	if s.Dropped > 0 {
		fmt.Fprintf(&b, "dropped   %d rows (%s), listed in %s\n", s.Dropped, reasons(s.DroppedReasons), filepath.Join(c.Out, "run", "dropped.jsonl"))
	}
	if s.Truncated > 0 {
		fmt.Fprintf(&b, "cut       %d rows to %d tokens\n", s.Truncated, c.MaxLength)
	}
	if s.StepSeconds > 0 {
		reference := ""
		if c.Verb() == "train" {
			reference = "reference " + duration(s.ReferenceSeconds) + ", "
		}
		fmt.Fprintf(&b, "speed     %d tokens in %s of steps (%.0f tokens/s); %sevaluation %s\n", s.Tokens, duration(s.StepSeconds),
			float64(s.Tokens)/s.StepSeconds, reference, duration(s.EvaluationSeconds))
	}
	if s.PeakMemoryBytes > 0 {
		fmt.Fprintf(&b, "memory    %s at most", size(s.PeakMemoryBytes))
		if s.DeviceMemory > 0 {
			fmt.Fprintf(&b, "; of %s %s", c.Device, size(s.DeviceMemory))
		}
		fmt.Fprintln(&b)
	}
	if c.SaveType != "float32" {
		fmt.Fprintf(&b, "saved as  %s: %.1f%% of the changed weights keep a change\n", c.SaveType, 100*s.UpdateKept)
	}
	b.WriteString(warningLines(s.Warnings))
	fmt.Fprintf(&b, "run       %[1]s: metrics.jsonl, checkpoints; tensorboard --logdir %[1]s draws it\n", filepath.Join(c.Out, "run"))
	fmt.Fprintf(&b, "model     %s\n", c.Out)
	return b.String()
}

// reasons lists why how many rows were dropped: of many reasons the first few, for each row that is no preference may have its own.
func reasons(counts map[string]int) string {
	const few = 5
	var parts []string
	others := 0
	for i, reason := range slices.Sorted(maps.Keys(counts)) {
		if i < few {
			parts = append(parts, fmt.Sprintf("%d %s", counts[reason], reason))
		} else {
			others += counts[reason]
		}
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d for %d other reasons", others, len(counts)-few))
	}
	return strings.Join(parts, ", ")
}
