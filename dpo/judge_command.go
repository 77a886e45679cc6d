package dpo

import (
	"context"
	"errors"

	"github.com/dpo-ort/dpo-ort/datasets"
)

func init() {
	registerJudge("command", judgeKind{
		form: "command:PROGRAM",
		says: "what a program replies: a line of JSON {prompt, completion, id, ...} each on its stdin, a number or {\"score\": number} on its stdout",
		open: func(command string, o JudgeOptions) (Judge, error) {
			return &commandJudge{program: newProgram(command, o), reads: o.Columns}, nil
		},
	})
}

// commandJudge asks a program.
type commandJudge struct {
	program *program
	reads   []string
}

func (j *commandJudge) columns() []string { return j.reads }

// Judge asks about the answers, in their order.
func (j *commandJudge) Judge(ctx context.Context, answers []Answer) ([]float64, error) {
	questions := make([]map[string]any, len(answers))
	for i, a := range answers {
		questions[i] = map[string]any{"prompt": jsonText(a.Prompt), "completion": jsonText(a.Completion)}
		if a.Finish != "" {
			questions[i]["finish_reason"] = a.Finish
		}
		for _, name := range j.reads {
			questions[i][name] = a.Values[name]
		}
	}
	return j.program.ask(ctx, questions, func(i int) string { return answers[i].place() }, readScore)
}

// Close ends the program.
func (j *commandJudge) Close() error {
	j.program.close()
	return nil
}

// readScore reads a number, or the score of an object.
func readScore(reply any) (float64, error) {
	if o, ok := reply.(map[string]any); ok {
		reply = o["score"]
	}
	if x, ok := reply.(float64); ok {
		return x, nil
	}
	return 0, errors.New(`a number, {"score": number} or {"error": text} is needed`)
}

// jsonText is a text as JSON has it: a string, or a list of {role, content}.
func jsonText(t datasets.Text) any {
	if t.Messages == nil {
		return t.String
	}
	turns := make([]any, len(t.Messages))
	for i, m := range t.Messages {
		turns[i] = map[string]string{"role": m.Role, "content": m.Content}
		if m.Fields != "" {
			turns[i] = m.JSON()
		}
	}
	return turns
}
