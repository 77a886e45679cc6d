package dpo

import "github.com/dpo-ort/dpo-ort/datasets"

// scoreColumns are what is added to a table.
func scoreColumns(kind datasets.Kind, ref bool) []datasets.Column {
	var out []datasets.Column
	add := func(t datasets.ColumnType, only bool, names ...string) {
		for _, name := range names {
			if only {
				out = append(out, datasets.Column{Name: name, Type: t})
			}
		}
	}
	number, integer := datasets.Float64Column, datasets.Int64Column
	if kind == datasets.Ranked {
		number, integer = datasets.Float64sColumn, datasets.Int64sColumn
	}
	if kind == datasets.Pairs {
		add(number, true, "policy_chosen_logps", "policy_rejected_logps")
		add(number, ref, "ref_chosen_logps", "ref_rejected_logps", "chosen_rewards", "rejected_rewards", "reward_margins")
		add(integer, true, "chosen_tokens", "rejected_tokens")
	} else {
		add(number, true, "policy_logps")
		add(number, ref, "ref_logps", "rewards")
		add(integer, true, "tokens")
	}
	add(datasets.BoolColumn, true, "truncated")
	add(datasets.Float64Column, ref && kind == datasets.Pairs, "gradient_weight")
	add(datasets.StringColumn, true, "error")
	return out
}

// columns are a row's values in the order of scoreColumns.
func (s Scores) columns(kind datasets.Kind, ref bool) []any {
	n := len(scoreColumns(kind, ref))
	if s.Err != nil {
		out := make([]any, n)
		out[n-1] = s.Err.Error()
		return out
	}
	out := make([]any, 0, n)
	switch kind {
	case datasets.Pairs:
		out = append(out, s.Policy[0], s.Policy[1])
		if ref {
			out = append(out, s.Reference[0], s.Reference[1], s.Rewards[0], s.Rewards[1], s.Rewards[0]-s.Rewards[1])
		}
		out = append(out, s.Tokens[0], s.Tokens[1], s.Truncated)
		if ref {
			out = append(out, s.GradientWeight())
		}
	case datasets.Ranked:
		out = append(out, s.Policy)
		if ref {
			out = append(out, s.Reference, s.Rewards)
		}
		out = append(out, s.Tokens, s.Truncated)
	default:
		out = append(out, s.Policy[0])
		if ref {
			out = append(out, s.Reference[0], s.Rewards[0])
		}
		out = append(out, s.Tokens[0], s.Truncated)
	}
	return append(out, nil)
}
