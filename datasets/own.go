package datasets

// Layouts whose columns are ours, which are TRL's where TRL has some for what they hold.
func init() {
	beside := []string{"margin", "chosen_share", "ref_chosen_logps", "ref_rejected_logps", "chosen_finish_reason", "rejected_finish_reason", "finish_reasons",
		"score_chosen", "score_rejected", "chosen_score", "rejected_score"}
	addLayout(Layout{
		Name: "pairs", From: "TRL", Kind: Pairs, needs: []string{"prompt", "chosen", "rejected"}, reads: beside, group: row.pair,
		Holds: "a prompt and two answers; strings or messages. Beside a string prompt, chosen and rejected may be whole conversations",
	})
	addLayout(Layout{
		Name: "pairs with an implicit prompt", From: "TRL", Kind: Pairs, needs: []string{"chosen", "rejected"}, reads: beside, group: row.pair,
		without: []string{"prompt", "instruction", "conversations", "question", "query"},
		fits:    func(r row) bool { return !isDialogue(r) && !isTurn(r.value("chosen")) && !answersMessages(r) },
		Holds:   "two whole texts or conversations, whose common beginning is the prompt",
	})
	addLayout(Layout{
		Name: "ranked", From: "dpo-ort", Kind: Ranked, needs: []string{"prompt", "completions|responses", "ranks|scores"}, reads: []string{"ref_logps", "finish_reason", "finish_reasons"},
		group: func(r row) (Group, error) {
			if r.has("completions") {
				return r.ranked("completions")
			}
			return r.ranked("responses")
		},
		Holds: "a prompt, a list of answers, and a list of ranks (lower is better) or scores (higher is better)",
	})
	addLayout(Layout{
		Name: "votes", From: "dpo-ort", Kind: Ranked, needs: []string{"prompt", "a", "b", "votes"}, reads: []string{"ref_logps", "finish_reasons"}, group: row.voted,
		Holds: "a prompt, two answers and the votes on them: a label in shares",
	})
	addLayout(Layout{
		Name: "single answers", From: "TRL", Kind: Singles, needs: []string{"prompt", "completion"}, reads: []string{"label", "ref_logps", "finish_reason"}, group: row.single,
		Holds: "a prompt and an answer; with label, true or false, unpaired preferences",
	})
	addLayout(Layout{
		Name: "texts", From: "TRL", Kind: Singles, needs: []string{"text"}, reads: []string{"finish_reason"}, group: row.whole,
		without: []string{"prompt", "chosen", "rejected", "completion", "completions", "responses", "instruction", "conversations", "messages"},
		Holds:   "a whole text, without a prompt",
	})
	addLayout(Layout{
		Name: "conversations", From: "TRL", Kind: Singles, needs: []string{"messages"}, group: row.talk,
		without: []string{"prompt", "chosen", "rejected", "completion", "completions", "responses", "instruction", "conversations"},
		Holds:   "a conversation, whose last turn is the answer",
	})
}
