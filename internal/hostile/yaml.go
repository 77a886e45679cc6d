package hostile

import (
	"fmt"
	"strings"
)

func init() {
	register("settings", func() []Case {
		l := list{file: "run.yaml"}
		const whole = "model: m\ndata: [pairs.jsonl]\nout: o\n"
		yamlFaults(&l, whole)
		for _, f := range [][2]string{
			{"unknown key", "betta: 0.1"},
			{"key in capitals", "Beta: 0.1"},
			{"key that is a list", "? [beta]\n: 0.1"},
			{"key that is a number", "1: 0.1"},
			{"key that is null", "null: 0.1"},
			{"beta is text", "beta: much"},
			{"beta is a list", "beta: [0.1]"},
			{"beta is a mapping", "beta: {a: 1}"},
			{"beta is NaN", "beta: .nan"},
			{"beta is infinite", "beta: .inf"},
			{"beta is zero", "beta: 0"},
			{"beta too large", "beta: 1e999"},
			{"beta is true", "beta: true"},
			{"lr is negative", "lr: -1"},
			{"lr is NaN", "lr: .nan"},
			{"batch is a fraction", "batch: 1.5"},
			{"batch is zero", "batch: 0"},
			{"batch of 2 to the 64", "batch: 18446744073709551616"},
			{"batch just below 2 to the 63", "batch: 9223372036854775808"},
			{"epochs of minus one", "epochs: -1"},
			{"steps is text", "steps: many"},
			{"seed too large", "seed: 99999999999999999999"},
			{"data is a number", "data: 7"},
			{"data is a mapping", "data: {a: b}"},
			{"data holds a list", "data: [[a]]"},
			{"model is a list", "model: [m]"},
			{"no-shuffle is a number", "no-shuffle: 3"},
			{"label-smoothing of one half", "label-smoothing: 0.5"},
			{"unknown loss", "loss: sigmoyd"},
			{"unknown optimizer", "optimizer: adamv"},
			{"unknown schedule", "schedule: cubic"},
			{"unknown rung", "rung: all"},
			{"unknown device", "device: tpu"},
			{"memory of nothing", "memory: 0%"},
			{"memory is no size", "memory: lots"},
			{"max-length is smaller than the prompt's", "max-length: 10\nmax-prompt-length: 20"},
			{"plan is text", "plan: all"},
			{"plan with an unknown key", "plan: {x: 1}"},
			{"plan of minus one layer", "plan: {probs: -1}"},
			{"everything wrong at once", "beta: -1\nlr: -1\nbatch: -1\nwarmup: -9\nkeep: 0"},
		} {
			base := whole
			if key, _, _ := strings.Cut(f[1], ":"); strings.Contains(whole, key+":") {
				base = strings.Replace(base, key+":", "ref:", 1)
				base = strings.Replace(base, "ref: [pairs.jsonl]\n", "", 1)
			}
			l.text(f[0], base+f[1]+"\n")
		}
		return l.cases
	})
	register("frontier-plan", func() []Case {
		l := list{file: "plan.yaml"}
		const whole = "reference: sft\nprompts: [fresh.jsonl]\nreward: length\ndpo: {data: [pairs.jsonl], steps: 10}\npreferred-ft: null\n"
		yamlFaults(&l, whole)
		for _, f := range [][2]string{
			{"unknown key", "beta: [0.1]"},
			{"samples of zero", "samples: 0"},
			{"samples is text", "samples: four"},
			{"samples of 2 to the 64", "samples: 18446744073709551616"},
			{"max-tokens of minus one", "max-tokens: -1"},
			{"betas are a number", "betas: 0.1"},
			{"betas hold zero", "betas: [0.1, 0]"},
			{"betas hold NaN", "betas: [.nan]"},
			{"betas hold text", "betas: [small]"},
			{"betas hold infinity", "betas: [.inf]"},
			{"betas twice the same", "betas: [0.1, 0.1]"},
			{"points of zero", "points: 0"},
			{"best-of of zero", "best-of: [0]"},
			{"best-of more than samples", "best-of: [1000]"},
			{"best-of is text", "best-of: all"},
			{"bound-betas are negative", "bound-betas: [-1]"},
			{"reference-samples of zero", "reference-samples: 0"},
			{"seed is a fraction", "seed: 0.5"},
			{"threads is text", "threads: all"},
		} {
			l.text(f[0], whole+f[1]+"\n")
		}
		dpo := func(name, text string) {
			l.text(name, strings.Replace(whole, "dpo: {data: [pairs.jsonl], steps: 10}", text, 1))
		}
		dpo("dpo is a text", "dpo: all")
		dpo("dpo is a list", "dpo: [1]")
		dpo("dpo without steps", "dpo: {data: [pairs.jsonl]}")
		dpo("dpo without data", "dpo: {steps: 10}")
		dpo("dpo with an unknown key", "dpo: {data: [pairs.jsonl], steps: 10, betta: 1}")
		dpo("dpo with a key twice", "dpo: {data: [pairs.jsonl], steps: 10, steps: 20}")
		dpo("dpo with an unknown loss", "dpo: {data: [pairs.jsonl], steps: 10, loss: none}")
		for _, key := range []string{"reference", "prompts", "reward"} {
			var kept []string
			for line := range strings.SplitSeq(whole, "\n") {
				if !strings.HasPrefix(line, key+":") {
					kept = append(kept, line)
				}
			}
			l.text("no "+key, strings.Join(kept, "\n"))
		}
		return l.cases
	})
}

// yamlFaults are those of any file of YAML.
func yamlFaults(l *list, whole string) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x]\n")
	for i := range 30 {
		fmt.Fprintf(&bomb, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for _, f := range [][2]string{
		{"a list", "- a\n- b\n"},
		{"a text", "just words\n"},
		{"a number", "7\n"},
		{"JSON that is cut", `{"model": "m", `},
		{"a quote without end", whole + "seed: \"1\n"},
		{"a list without end", whole + "seed: [1\n"},
		{"a tab for indentation", whole + "seed:\n\t1\n"},
		{"a key twice", whole + "seed: 1\nseed: 2\n"},
		{"two values in a line", whole + "seed: a: b\n"},
		{"a colon without a space", whole + "seed:1\n"},
		{"indentation that changes", whole + "  seed: 1\n"},
		{"no UTF-8", whole + "seed: \xff\n"},
		{"a NUL", whole + "seed: 1\x00\n"},
		{"UTF-16", "\xff\xfem\x00o\x00"},
		{"an alias of nothing", whole + "seed: *x\n"},
		{"an alias of itself", whole + "seed: &a [*a]\n"},
		{"aliases that grow", bomb.String()},
		{"a tag", whole + "seed: !!python/object:os.system 1\n"},
		{"a merge key", whole + "<<: {seed: 1}\n"},
		{"two documents", whole + "---\nseed: 1\n"},
		{"lists nest deep", whole + "seed: " + strings.Repeat("[", 50_000) + "\n"},
		{"mappings nest deep", whole + "seed: " + strings.Repeat("{a: ", 50_000) + "\n"},
		{"entries nest deep", whole + "seed:\n  " + strings.Repeat("- ", 50_000) + "\n"},
		{"keys nest deep", whole + "seed:\n  " + strings.Repeat("? ", 50_000) + "\n"},
		{"a file of two million bytes", strings.Repeat("# nothing\n", 200_000)},
		{"HTML", "<!DOCTYPE html>\n<html><body>404</body></html>\n"},
	} {
		l.text(f[0], f[1])
	}
}
