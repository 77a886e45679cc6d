package datasets

import (
	"slices"
	"testing"
)

// TestShareGPTCalls holds what becomes of calls, of what they brought, and of tools as LLaMA-Factory writes them: messages and functions as
// chat templates know them, in the file's order, their numbers to the digit.
func TestShareGPTCalls(t *testing.T) {
	const (
		called = `{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"z":1.0,"a":12345678901234567890123}}}]}`
		twice  = `{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}},{"type":"function","function":{"name":"g","arguments":{"x":"\u003cy"}}}]}`
		user   = `{"role":"user","content":"q"}`
		result = `{"role":"tool","content":"{\"r\": 7}"}`
		answer = `{"role":"assistant","content":"a"}`
		call   = `{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"z\": 1.0, \"a\": 12345678901234567890123}}"}`
		calls  = `{"from":"function_call","value":" [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"x\": \"<y\"}}]"}`
		bare   = `{"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{}}}}`
	)
	functions := `[{"type":"function","function":` + bare + `}]`
	for _, c := range []struct {
		row    string
		turns  []string
		answer int // messages of the first answer
		tools  string
	}{
		{`{"conversations":[{"from":"human","value":"q"},` + call + `,{"from":"observation","value":"{\"r\": 7}"},{"from":"gpt","value":"a"}],"tools":[` + bare + `]}`,
			[]string{user, called, result, answer}, 1, functions},
		{`{"conversations":[{"from":"human","value":"q"},` + calls + `],"tools":"[` + string(appendQuoted(nil, bare)[1:len(appendQuoted(nil, bare))-1]) + `]"}`, []string{user, twice}, 1, functions},
		{`{"conversations":[{"from":"human","value":"q"}],"chosen":` + call + `,"rejected":{"from":"gpt","value":"a"},"tools":` + functions + `}`, []string{user, called}, 1, functions},
		{`{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"tools":"[]"}`, []string{user, answer}, 1, ""},
		{`{"conversations":[` + user + `,` + called + `,` + result + `,` + answer + `]}`, []string{user, called, result, answer}, 1, ""},
		{`{"instruction":"q","output":"a","tools":[` + bare + `]}`, []string{user, answer}, 1, functions},
	} {
		g := readAll(t, write(t, "a.jsonl", c.row))[0]
		var got []string
		for _, m := range slices.Concat(g.Prompt.Messages, g.Completions[0].Messages) {
			got = append(got, string(m.JSON()))
		}
		if !slices.Equal(got, c.turns) || len(g.Completions[0].Messages) != c.answer || g.Prompt.Tools != c.tools {
			t.Errorf("%s:\n got %q, tools %s\nwant %q, tools %s", c.row, got, g.Prompt.Tools, c.turns, c.tools)
		}
	}
}
