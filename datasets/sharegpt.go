package datasets

import (
	"fmt"
	"slices"
)

// ShareGPT's turns are {from, value}; {role, content} are taken, too.
const shareGPTTurns = "conversations are turns {from: human, gpt or system, value}, or {role, content}, after system"

func init() {
	shareGPT := func(name string, kind Kind, needs, without []string, fits func(row) bool, ours func(row) (map[string]any, error), group func(row) (Group, error), holds string) {
		addLayout(Layout{
			Name: name, From: "LLaMA-Factory", Kind: kind, needs: needs, reads: []string{"system"}, prompt: []string{"conversations", "messages", "system"},
			without: append([]string{"prompt", "instruction"}, without...), fits: fits, ours: ours, group: group, Holds: shareGPTTurns + "; " + holds,
		})
	}
	shareGPT("sharegpt pairs", Pairs, []string{"conversations|messages", "chosen", "rejected"}, nil,
		func(r row) bool { return r.has("conversations") || isTurn(r.value("chosen")) }, shareGPTPair, row.pair, "chosen and rejected are the turn after them")
	shareGPT("sharegpt unpaired", Singles, []string{"conversations", "kto_tag"}, []string{"chosen", "rejected"}, nil,
		func(r row) (map[string]any, error) {
			values, err := lastTurn(r, "conversations")
			if err == nil {
				values["label"] = r.value("kto_tag")
			}
			return values, err
		}, row.single, "the last is the answer, and kto_tag says whether it is desirable")
	shareGPT("sharegpt", Singles, []string{"conversations"}, []string{"chosen", "rejected", "kto_tag", "completion", "completions", "responses"}, nil,
		func(r row) (map[string]any, error) { return lastTurn(r, "conversations") }, row.single, "the last is the answer")
	addLayout(Layout{
		Name: "llamafactory v1 pairs", From: "LLaMA-Factory", Kind: Pairs, needs: []string{"chosen_messages", "rejected_messages"}, without: []string{"prompt", "chosen", "rejected"},
		group: row.pair, Holds: "two conversations, whose common beginning is the prompt; contents are lists of {type: text, value}",
		ours: func(r row) (map[string]any, error) {
			return map[string]any{"chosen": r.value("chosen_messages"), "rejected": r.value("rejected_messages")}, nil
		},
	})
}

// isTurn tells whether an answer is one turn as an object, not in a list.
func isTurn(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

func shareGPTPair(r row) (map[string]any, error) {
	column := "conversations"
	if !r.has(column) {
		column = "messages"
	}
	prompt, err := shareGPTList(r, column)
	values := map[string]any{"prompt": prompt}
	for _, answer := range []string{"chosen", "rejected"} {
		turn := r.value(answer)
		if isTurn(turn) && err == nil {
			if turn, err = shareGPTTurn(turn); err != nil {
				err = fmt.Errorf("column %s: %w", answer, err)
			}
			turn = []any{turn}
		}
		values[answer] = turn
	}
	return values, err
}

// lastTurn takes the last turn of a conversation for the answer to those before.
func lastTurn(r row, column string) (map[string]any, error) {
	turns, err := shareGPTList(r, column)
	if err != nil {
		return nil, err
	}
	if len(turns) < 2 {
		return nil, fmt.Errorf("column %s has %d turns: a question and its answer are needed", column, len(turns))
	}
	last := turns[len(turns)-1]
	if role := last.(map[string]any)["role"]; role != "assistant" {
		return nil, fmt.Errorf("column %s ends with a turn of %v: the assistant's is needed, which is learnt", column, role)
	}
	return map[string]any{"prompt": turns[:len(turns)-1], "completion": []any{last}}, nil
}

// shareGPTList reads a conversation.
func shareGPTList(r row, column string) ([]any, error) {
	list, ok := r.value(column).([]any)
	if !ok {
		return nil, fmt.Errorf("column %s holds %s: a list of turns is needed", column, describe(r.value(column)))
	}
	var turns []any
	for i, v := range list {
		turn, err := shareGPTTurn(v)
		if err != nil {
			return nil, fmt.Errorf("column %s, turn %d: %w", column, i, err)
		}
		turns = append(turns, turn)
	}
	return turns, nil
}

var shareGPTRoles = map[any]string{"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system", "observation": "tool", "tool": "tool"}

// shareGPTTurn gives a turn as {role, content}.
func shareGPTTurn(v any) (any, error) {
	turn, _ := v.(map[string]any)
	from, there := turn["from"]
	if !there {
		m, err := asMessage(v)
		return map[string]any{"role": m.Role, "content": m.Content}, err
	}
	role, known := shareGPTRoles[from]
	if !known {
		return nil, fmt.Errorf("it is from %s: human, gpt, system and observation are read", shown(from))
	}
	return map[string]any{"role": role, "content": turn["value"]}, nil
}

// isConversation tells whether a value is a list of turns that each say who speaks.
func isConversation(v any) bool {
	list, _ := v.([]any)
	return len(list) > 0 && !slices.ContainsFunc(list, func(turn any) bool { return !isTurn(turn) })
}
