package datasets

import "fmt"

// Layouts in which people judged two answers: each becomes votes.
func init() {
	addLayout(Layout{
		Name: "annotators", From: "PandaLM", Kind: Ranked, needs: []string{"instruction", "response1", "response2", "annotator1"}, reads: []string{"input", "annotator2", "annotator3"},
		without: []string{"prompt"}, prompt: []string{"instruction", "input"}, group: row.voted,
		Holds: "instruction and input are the user's turn; each annotator's column is a vote: 1 for response1, 2 for response2, 0 for neither",
		ours: func(r row) (map[string]any, error) {
			prompt, err := alpacaTurns(r)
			var votes []any
			for _, column := range []string{"annotator1", "annotator2", "annotator3"} {
				if v := r.value(column); v != nil {
					votes = append(votes, v)
				}
			}
			return map[string]any{"prompt": prompt, "a": r.value("response1"), "b": r.value("response2"), "votes": votes}, err
		},
	})
	addLayout(Layout{
		Name: "arena", From: "Chatbot Arena", Kind: Ranked, needs: []string{"conversation_a", "conversation_b", "winner"}, without: []string{"prompt"},
		prompt: []string{"conversation_a", "conversation_b"}, ours: arenaVotes, group: row.voted,
		Holds: "two conversations, whose common beginning is the prompt, and the winner: model_a, model_b or a tie",
	})
	addLayout(Layout{
		Name: "SHP", From: "Stanford Human Preferences", Kind: Ranked, needs: []string{"history", "human_ref_A", "human_ref_B", "labels"}, without: []string{"prompt"},
		prompt: []string{"history"}, group: row.voted,
		Holds: "a post and two comments; labels is 1 where human_ref_A is preferred, 0 where human_ref_B is",
		ours: func(r row) (map[string]any, error) {
			vote, ok := map[any]any{1.0: "a", 0.0: "b"}[r.value("labels")]
			if !ok {
				return nil, fmt.Errorf("column labels holds %s: 1 or 0 is needed", shown(r.value("labels")))
			}
			return map[string]any{"prompt": r.value("history"), "a": r.value("human_ref_A"), "b": r.value("human_ref_B"), "votes": []any{vote}}, nil
		},
	})
}

func arenaVotes(r row) (map[string]any, error) {
	vote, ok := map[any]any{"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "tie"}[r.value("winner")]
	if !ok {
		return nil, fmt.Errorf("column winner holds %s: model_a, model_b or tie is needed", shown(r.value("winner")))
	}
	var g Group
	for _, column := range []string{"conversation_a", "conversation_b"} {
		text, err := r.text(column)
		if err != nil {
			return nil, err
		}
		g.Completions = append(g.Completions, text)
	}
	if err := g.splitPrompt(false); err != nil {
		return nil, err
	}
	return map[string]any{"prompt": g.Prompt.value(), "a": g.Completions[0].value(), "b": g.Completions[1].value(), "votes": []any{vote}}, nil
}

// value is a text as a column holds it.
func (t Text) value() any {
	if t.Messages == nil {
		return t.String
	}
	turns := make([]any, len(t.Messages))
	for i, m := range t.Messages {
		turns[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	return turns
}
