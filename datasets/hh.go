package datasets

import (
	"fmt"
	"strings"
)

// The marks of Anthropic's helpful and harmless data (Bai et al. 2022, arXiv 2204.05862).
const (
	humanMark     = "\n\nHuman:"
	assistantMark = "\n\nAssistant:"
)

func init() {
	addLayout(Layout{
		Name: "HH dialogues", From: "Anthropic HH-RLHF", Kind: Pairs, needs: []string{"chosen", "rejected"},
		without: []string{"prompt", "instruction", "conversations", "question", "query"},
		fits:    isDialogue, ours: splitDialogue, group: row.pair,
		Holds: "two texts with \\n\\nHuman: and \\n\\nAssistant: before each turn; the prompt ends after the last \\n\\nAssistant: of their common beginning",
	})
}

// isDialogue tells whether a pair is of texts that begin with a human's turn.
func isDialogue(r row) bool {
	for _, column := range []string{"chosen", "rejected"} {
		if s, _ := r.value(column).(string); !strings.HasPrefix(s, humanMark) {
			return false
		}
	}
	return true
}

// splitDialogue finds the prompt as the paper's code does, in what the two have in common: where they part before the last turn, all
// turns from there on are the answer.
func splitDialogue(r row) (map[string]any, error) {
	chosen, rejected := r.value("chosen").(string), r.value("rejected").(string)
	n, _ := common([]byte(chosen), []byte(rejected))
	at := strings.LastIndex(chosen[:n], assistantMark)
	if at < 0 {
		return nil, fmt.Errorf("chosen and rejected have no turn %q in common: they are not two answers to one prompt", strings.TrimSpace(assistantMark))
	}
	at += len(assistantMark)
	return map[string]any{"prompt": chosen[:at], "chosen": chosen[at:], "rejected": rejected[at:]}, nil
}
