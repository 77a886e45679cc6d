package datasets

import (
	"fmt"
)

// Alpaca's columns, as LLaMA-Factory has them: an instruction, an input that is added to it, a system prompt, and a history of
// turns before.
var alpacaPrompt = []string{"instruction", "input", "system", "history"}

const alpacaHolds = "instruction and input are the user's turn, after system and the [question, answer] pairs of history"

func init() {
	alpaca := func(name string, kind Kind, needs, without []string, fits func(row) bool, ours func(row) (map[string]any, error), group func(row) (Group, error), holds string) {
		addLayout(Layout{
			Name: name, From: "LLaMA-Factory", Kind: kind, needs: append([]string{"instruction"}, needs...), reads: alpacaPrompt[1:], prompt: alpacaPrompt,
			without: append([]string{"prompt"}, without...), fits: fits, group: group, Holds: alpacaHolds + "; " + holds,
			ours: func(r row) (map[string]any, error) {
				prompt, err := alpacaTurns(r)
				if err != nil {
					return nil, err
				}
				values, err := ours(r)
				if err == nil {
					values["prompt"], values["tools"] = prompt, wrappedTools(r)
				}
				return values, err
			},
		})
	}
	answers := []string{"chosen", "rejected", "completions"}
	alpaca("alpaca pairs", Pairs, []string{"chosen", "rejected"}, []string{"output"}, nil,
		func(row) (map[string]any, error) { return map[string]any{}, nil }, row.pair, "chosen and rejected answer it")
	alpaca("alpaca ranking", Pairs, []string{"output"}, append(answers, "kto_tag"), isPairOfTexts,
		func(r row) (map[string]any, error) {
			two := r.value("output").([]any)
			return map[string]any{"chosen": two[0], "rejected": two[1]}, nil
		}, row.pair, "output is a list of the better and the worse answer")
	alpaca("alpaca unpaired", Singles, []string{"output", "kto_tag"}, answers, nil,
		func(r row) (map[string]any, error) {
			return map[string]any{"completion": r.value("output"), "label": r.value("kto_tag")}, nil
		}, row.single, "output answers it, and kto_tag says whether it is desirable")
	alpaca("alpaca", Singles, []string{"output"}, append(answers, "kto_tag"), func(r row) bool { return !isPairOfTexts(r) },
		func(r row) (map[string]any, error) { return map[string]any{"completion": r.value("output")}, nil }, row.lastOfTalk, "output answers it")
}

// isPairOfTexts tells whether output is a list of two.
func isPairOfTexts(r row) bool {
	list, _ := r.value("output").([]any)
	return len(list) == 2
}

// alpacaTurns writes the columns before the answer as messages, but for system, which any row of messages may have.
func alpacaTurns(r row) ([]any, error) {
	var turns []any
	say := func(role string, v any) { turns = append(turns, map[string]any{"role": role, "content": v}) }
	history, ok := r.value("history").([]any)
	if !ok && r.value("history") != nil {
		return nil, fmt.Errorf("column history holds %s: a list of [question, answer] pairs is needed", describe(r.value("history")))
	}
	for i, v := range history {
		two, _ := v.([]any)
		if len(two) != 2 {
			return nil, fmt.Errorf("column history, turn %d: it is %s: a list [question, answer] is needed", i, describe(v))
		}
		say("user", two[0])
		say("assistant", two[1])
	}
	instruction, ok := r.value("instruction").(string)
	if !ok {
		return nil, fmt.Errorf("column instruction holds %s: a string is needed", describe(r.value("instruction")))
	}
	switch input := r.value("input").(type) {
	case nil:
	case string:
		if input != "" && instruction != "" {
			instruction += "\n"
		}
		instruction += input
	default:
		return nil, fmt.Errorf("column input holds %s: a string is needed", describe(input))
	}
	say("user", instruction)
	return turns, nil
}
