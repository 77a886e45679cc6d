package datasets

// askedColumns are those of layouts without a column prompt that make a prompt by themselves.
var askedColumns = []string{"instruction", "input", "history", "conversations", "messages"}

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
		turns, err = unanswered(r, "conversations")
	case r.has("messages"):
		turns, err = unanswered(r, "messages")
	default:
		return r, nil
	}
	return r.with(map[string]any{"prompt": turns, "tools": wrappedTools(r)}), err
}
