package datasets

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

func init() {
	addLayout(Layout{
		Name: "nested answers", From: "UltraFeedback", Kind: Ranked, needs: []string{"prompt|instruction", "completions"}, without: []string{"ranks", "scores", "chosen", "rejected"},
		prompt: []string{"instruction"}, fits: func(r row) bool { return isConversation(r.value("completions")) },
		ours: nestedAnswers, group: func(r row) (Group, error) { return r.ranked("completions") },
		Holds: "a prompt or instruction, and a list of {response, overall_score}; or, in the score's place, rating, score, rank, or the mean of annotations' Rating",
	})
}

// nestedAnswers takes lists of answers and of their scores out of a list of structs.
func nestedAnswers(r row) (map[string]any, error) {
	var texts []any
	each := map[string][]any{}
	for i, v := range r.value("completions").([]any) {
		fields := v.(map[string]any)
		text := slices.IndexFunc(answerFields, func(name string) bool { return fields[name] != nil })
		if text < 0 {
			return nil, fmt.Errorf("column completions, answer %d: it is %s: a response is needed", i, describe(v))
		}
		texts = append(texts, fields[answerFields[text]])
		for _, name := range scoreFields {
			each[name] = append(each[name], fields[name])
		}
		each[ratings] = append(each[ratings], meanRating(fields["annotations"]))
	}
	values := map[string]any{"completions": texts}
	if !r.has("prompt") {
		values["prompt"] = []any{map[string]any{"role": "user", "content": r.value("instruction")}}
	}
	for _, name := range append(scoreFields, ratings) {
		if !slices.ContainsFunc(each[name], func(v any) bool { return v != nil }) {
			continue
		}
		if name == "rank" {
			values["ranks"] = each[name]
		} else {
			values["scores"] = each[name]
		}
		return values, nil
	}
	return nil, fmt.Errorf("column completions: no answer has a score: one of %v, or annotations with Rating, is needed", scoreFields)
}

// What an answer's text and its score are called, the one that counts first.
var (
	answerFields = []string{"response", "text", "content", "completion"}
	scoreFields  = []string{"overall_score", "rating", "score", "rank"}
)

const ratings = "annotations"

// meanRating is the mean of an answer's ratings by aspect; nil where it has none. They are numbers as text, or N/A.
func meanRating(v any) any {
	aspects, _ := v.(map[string]any)
	sum, n := 0.0, 0
	for _, name := range slices.Sorted(maps.Keys(aspects)) {
		fields, _ := aspects[name].(map[string]any)
		switch rating := fields["Rating"].(type) {
		case float64:
			sum, n = sum+rating, n+1
		case string:
			if x, err := strconv.ParseFloat(rating, 64); err == nil {
				sum, n = sum+x, n+1
			}
		}
	}
	if n == 0 {
		return nil
	}
	return sum / float64(n)
}
