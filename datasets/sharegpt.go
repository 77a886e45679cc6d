package datasets

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// ShareGPT's turns are {from, value}; {role, content} are taken, too.
const shareGPTTurns = "conversations are turns {from: human, gpt, system, function_call or observation, value}, or {role, content}, after system"

func init() {
	shareGPT := func(name string, kind Kind, needs, without []string, fits func(row) bool, ours func(row) (map[string]any, error), group func(row) (Group, error), holds string) {
		addLayout(Layout{
			Name: name, From: "LLaMA-Factory", Kind: kind, needs: needs, reads: []string{"system", "tools"}, prompt: []string{"conversations", "messages", "system", "tools"},
			without: append([]string{"prompt", "instruction"}, without...), fits: fits, ours: ours, group: group, Holds: shareGPTTurns + "; " + holds,
		})
	}
	shareGPT("sharegpt pairs", Pairs, []string{"conversations|messages", "chosen", "rejected"}, nil,
		func(r row) bool { return r.has("conversations") || isTurn(r.value("chosen")) || answersMessages(r) }, shareGPTPair, row.pair, "chosen and rejected, turns or strings, answer them in the place of turns of the assistant's at the end")
	shareGPT("sharegpt unpaired", Singles, []string{"conversations", "kto_tag"}, []string{"chosen", "rejected"}, nil,
		func(r row) (map[string]any, error) {
			values, err := lastTurn(r, "conversations")
			if err == nil {
				values["label"] = r.value("kto_tag")
			}
			return values, err
		}, row.single, "the last is the answer, and kto_tag says whether it is desirable")
	shareGPT("sharegpt", Singles, []string{"conversations"}, []string{"chosen", "rejected", "kto_tag", "completion", "completions", "responses"}, nil,
		func(r row) (map[string]any, error) { return lastTurn(r, "conversations") }, row.lastOfTalk, "the last is the answer")
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

// answersMessages tells whether a row has two strings beside messages, which are then the prompt.
func answersMessages(r row) bool {
	_, isString := r.value("chosen").(string)
	return isString && isConversation(r.value("messages"))
}

func shareGPTPair(r row) (map[string]any, error) {
	column := "conversations"
	if !r.has(column) {
		column = "messages"
	}
	prompt, err := unanswered(r, column)
	if err != nil {
		return nil, err
	}
	values := map[string]any{"prompt": prompt, "tools": wrappedTools(r)}
	for _, answer := range []string{"chosen", "rejected"} {
		values[answer] = r.value(answer)
		if !isTurn(values[answer]) {
			continue
		}
		turn, err := shareGPTTurn(values[answer], func() json.RawMessage { return r.rec.json(r.columns[answer]) })
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", answer, err)
		}
		values[answer] = []any{turn}
	}
	return values, nil
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
	return map[string]any{"prompt": turns[:len(turns)-1], "completion": []any{last}, "tools": wrappedTools(r)}, nil
}

// shareGPTList reads a conversation.
func shareGPTList(r row, column string) ([]any, error) {
	list, ok := r.value(column).([]any)
	if !ok {
		return nil, fmt.Errorf("column %s holds %s: a list of turns is needed", column, describe(r.value(column)))
	}
	var turns []any
	ordered := sync.OnceValue(func() []json.RawMessage { return elements(r.rec.json(r.columns[column])) })
	for i, v := range list {
		turn, err := shareGPTTurn(v, func() json.RawMessage { return ordered()[i] })
		if err != nil {
			return nil, fmt.Errorf("column %s, turn %d: %w", column, i, err)
		}
		turns = append(turns, turn)
	}
	return turns, nil
}

// unanswered reads a conversation up to the last turn that is not the assistant's, which asks for an answer.
func unanswered(r row, column string) ([]any, error) {
	turns, err := shareGPTList(r, column)
	for len(turns) > 0 && turns[len(turns)-1].(map[string]any)["role"] == "assistant" {
		turns = turns[:len(turns)-1]
	}
	return turns, err
}

var shareGPTRoles = map[any]string{"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system", "observation": "tool", "tool": "tool"}

// shareGPTTurn gives a turn as a message, whose further fields are JSON as the file has it; ordered gives the whole turn so.
func shareGPTTurn(v any, ordered func() json.RawMessage) (any, error) {
	turn, _ := v.(map[string]any)
	from, there := turn["from"]
	if !there {
		return plainTurn(v, ordered)
	}
	if from == "function_call" {
		return callingTurn(turn["value"])
	}
	role, known := shareGPTRoles[from]
	if !known {
		return nil, fmt.Errorf("it is from %s: human, gpt, system, function_call and observation are read", shown(from))
	}
	return map[string]any{"role": role, "content": turn["value"]}, nil
}

// plainTurn is a turn {role, content}, with what else it has.
func plainTurn(v any, ordered func() json.RawMessage) (any, error) {
	if _, err := asMessage(v); err != nil || isPlainTurn(v) {
		return v, err
	}
	o, err := parseObject(ordered())
	turn := map[string]any{}
	for name, raw := range o.raw {
		if turn[name] = raw; name == "role" || name == "content" || string(raw) == "null" {
			turn[name] = v.(map[string]any)[name]
		}
	}
	return turn, err
}

// callingTurn is the assistant's turn of calls that LLaMA-Factory writes as text of JSON: {name, arguments}, or a list of these.
func callingTurn(value any) (any, error) {
	text, _ := value.(string)
	calls := []json.RawMessage{json.RawMessage(text)}
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		calls = elements(json.RawMessage(text))
	}
	var all []string
	for _, raw := range calls {
		o, err := parseObject(raw)
		if err != nil || len(o.raw["name"]) == 0 || o.raw["name"][0] != '"' || len(o.raw["arguments"]) == 0 {
			all = nil
			break
		}
		all = append(all, fmt.Sprintf(`{"type":"function","function":{"name":%s,"arguments":%s}}`, o.raw["name"], o.raw["arguments"]))
	}
	if all == nil {
		return nil, fmt.Errorf("it is from function_call, and its value is %.60q: JSON of {name, arguments} is needed, or a list of these", text)
	}
	return map[string]any{"role": "assistant", "content": "", "tool_calls": json.RawMessage("[" + strings.Join(all, ",") + "]")}, nil
}

// wrappedTools are a row's tools, of which those that LLaMA-Factory writes bare, as {name, description, parameters}, become the functions
// that templates know. What is no list is left to be refused.
func wrappedTools(r row) any {
	v := r.value("tools")
	text, isString := v.(string)
	if _, isList := v.([]any); isList {
		text, isString = string(r.rec.json(r.columns["tools"])), true
	}
	var all []string
	for _, raw := range elements(json.RawMessage(text)) {
		o, err := parseObject(raw)
		if err != nil {
			return v
		}
		tool := string(raw)
		if o.raw["type"] == nil && o.raw["name"] != nil {
			tool = `{"type":"function","function":` + tool + `}`
		}
		all = append(all, tool)
	}
	if !isString || all == nil {
		return v
	}
	return "[" + strings.Join(all, ",") + "]"
}

// isConversation tells whether a value is a list of turns that each say who speaks.
func isConversation(v any) bool {
	list, _ := v.([]any)
	return len(list) > 0 && !slices.ContainsFunc(list, func(turn any) bool { return !isTurn(turn) })
}
