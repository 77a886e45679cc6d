package dpo

import (
	"fmt"
)

func init() {
	registerJudge("column", judgeKind{
		form: "column:NAME",
		says: "what stands in a column of the data: a list of numbers, one an answer",
		open: openColumn,
	})
}

func openColumn(name string, _ JudgeOptions) (Judge, error) {
	return &eachJudge{reads: []string{name}, score: func(a Answer) (float64, error) {
		list, ok := a.Values[name].([]any)
		if !ok {
			return 0, fmt.Errorf("column %s holds no list of numbers", name)
		}
		if a.K >= len(list) {
			return 0, fmt.Errorf("column %s has %d entries, and none for this answer", name, len(list))
		}
		x, ok := list[a.K].(float64)
		if !ok || !allFinite([]float64{x}) {
			return 0, fmt.Errorf("column %s holds %v for this answer: a finite number is needed", name, list[a.K])
		}
		return x, nil
	}}, nil
}
