package datasets

// askedColumns are those of layouts without a column prompt that make a prompt by themselves.
var askedColumns = []string{"instruction", "input", "history", "conversations"}

// asking is a row whose prompt is in the column prompt, whichever columns of a layout make it.
func (r row) asking() (row, error) {
	if r.has("prompt") {
		return r, nil
	}
	var turns []any
	var err error
	switch {
	case r.has("instruction"):
		turns, err = alpacaTurns(r)
	case r.has("conversations"):
		turns, err = shareGPTList(r, "conversations")
		for len(turns) > 0 && turns[len(turns)-1].(map[string]any)["role"] == "assistant" {
			turns = turns[:len(turns)-1]
		}
	}
	return r.with(map[string]any{"prompt": turns, "tools": wrappedTools(r)}), err
}
