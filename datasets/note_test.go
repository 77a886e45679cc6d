package datasets

import (
	"strings"
	"testing"
)

// A single row is enough to have it told, beside rows of which nothing is to be said and the near miss.
func TestNotedRows(t *testing.T) {
	const healthy = `{"prompt":"p","chosen":"c","rejected":"r"}`
	for name, c := range map[string]struct{ row, says string }{
		"columns-aside": {`{"prompt":"q","chosen":"c","rejected":"r","system":"s"}`, "1 of 2 rows (50 %) have a column system or tools beside texts, which is not read"},
		"tools aside":   {`{"prompt":"q","chosen":"c","rejected":"r","tools":"[{\"name\":\"f\"}]"}`, "1 of 2 rows (50 %) have a column system or tools beside texts"},
		"no system":     {`{"prompt":"q","chosen":"c","rejected":"r","system":"","tools":null}`, ""},
		"of messages":   {`{"prompt":[{"role":"user","content":"q"}],"chosen":"c","rejected":"r","system":"s"}`, ""},
		"no-prompt":     {`{"chosen":"c","rejected":"r"}`, "1 of 2 pairs (50 %) have no prompt: there is no column for it, and chosen and rejected have no beginning in common"},
		"no turns":      {`{"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`, "1 of 2 pairs (50 %) have no prompt"},
		"an empty one":  {`{"prompt":"","chosen":"c","rejected":"r"}`, ""},
		"a short one":   {`{"chosen":"xc","rejected":"xr"}`, ""},
		"refused-rows":  {`{"prompt":"q","chosen":1,"rejected":"r"}`, "1 of 2 rows (50 %) cannot be used as they are written and are dropped, the first because column chosen: it holds a number"},
		"two columns":   {`{"prompt":"q","chosen":1,"rejected":2}`, "the first because column chosen: it holds a number: a string, or a list of {role, content} messages, is needed; column rejected: it holds a number"},
	} {
		in := inspect(t, &Encoder{}, write(t, "a.jsonl", healthy+"\n"+c.row))
		got := ""
		for _, w := range in.Warnings {
			got += w.Name + ": " + w.String()
		}
		if c.says == "" && got != "" || !strings.Contains(got, c.says) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", name, got, c.says)
		}
	}
}

// The system's words of a column are the first turn of a row of messages, of every layout; two that differ, or words that are no
// text, are refused with what to do.
func TestSystemColumn(t *testing.T) {
	const talk = `[{"role":"user","content":"u"},{"role":"assistant","content":"a"}]`
	checkRows(t, map[string]string{
		`{"system":"s","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`:                                       "system:s user:p > assistant:c | assistant:r",
		`{"system":"s","prompt":"p","chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`: "system:s user:p > assistant:c | assistant:r",
		`{"system":"s","chosen":` + talk + `,"rejected":` + strings.Replace(talk, `"a"`, `"b"`, 1) + `}`:                            "system:s user:u > assistant:a | assistant:b",
		`{"system":"s","messages":` + talk + `}`:        "system:s user:u > assistant:a",
		`{"system":"s","instruction":"i","output":"o"}`: "system:s user:i > assistant:o",
		`{"system":"s","conversations":[{"from":"system","value":"s"},{"from":"human","value":"h"},{"from":"gpt","value":"g"}]}`: "system:s user:h > assistant:g",
		`{"system":"s","conversations":[{"from":"system","value":"t"},{"from":"human","value":"h"},{"from":"gpt","value":"g"}]}`: "column system says one thing and the conversation's turn of the system another: leave one out",
		`{"system":7,"messages":` + talk + `}`:                    "column system holds a number: a string is needed (--columns system= has the column ignored)",
		`{"system":"\u0000","messages":` + talk + `}`:             "column system: its text has a NUL byte",
		`{"system":"","messages":` + talk + `}`:                   "user:u > assistant:a",
		`{"system":"s","prompt":"p","chosen":"c","rejected":"r"}`: "p > c | r",
	})
}

// What the warning about a column system beside texts advises gives its words to the template.
func TestSystemColumnByAdvice(t *testing.T) {
	file := write(t, "a.jsonl", `{"system":"s","prompt":"p","chosen":"c","rejected":"r"}`)
	for g, err := range Read([]string{file}, Options{Columns: map[string]string{"instruction": "prompt", "prompt": ""}}) {
		if got := sayGroup(g); err != nil || got != "system:s user:p > assistant:c | assistant:r" || g.Notes != 0 {
			t.Errorf("%s, notes %d, %v", got, g.Notes, err)
		}
	}
	for g, err := range Read([]string{file}, Options{Columns: map[string]string{"system": "", "tools": ""}}) {
		if err != nil || g.Notes != 0 {
			t.Errorf("ignored: notes %d, %v", g.Notes, err)
		}
	}
}

// A prompt that answers repeat is taken off all of them; where only some do, the row is refused. So is a pair of two prompts.
func TestRepeatedPrompts(t *testing.T) {
	const prompt = `{"role":"user","content":"p"}`
	whole := func(first, answer string) string {
		return `[` + first + `,{"role":"assistant","content":"` + answer + `"}]`
	}
	alone := func(answer string) string { return `[{"role":"assistant","content":"` + answer + `"}]` }
	other := strings.Replace(prompt, `"p"`, `"q"`, 1)
	const some, two = "one answer begins with the messages of the prompt and another does not", "chosen and rejected begin with different turns of the user"
	checkRows(t, map[string]string{
		`{"prompt":[` + prompt + `],"chosen":` + whole(prompt, "c") + `,"rejected":` + whole(prompt, "r") + `}`:                                            "user:p > assistant:c | assistant:r",
		`{"prompt":[` + prompt + `],"chosen":` + whole(prompt, "c") + `,"rejected":` + alone("r") + `}`:                                                    some,
		`{"prompt":[` + prompt + `],"chosen":` + alone("c") + `,"rejected":` + alone("r") + `}`:                                                            "user:p > assistant:c | assistant:r",
		`{"prompt":[` + prompt + `],"completion":` + whole(prompt, "c") + `}`:                                                                              "user:p > assistant:c",
		`{"prompt":[` + prompt + `],"completions":[` + whole(prompt, "a") + `,` + whole(prompt, "b") + `],"ranks":[2,1]}`:                                  "user:p > assistant:b | assistant:a",
		`{"prompt":[` + prompt + `],"a":` + whole(prompt, "a") + `,"b":` + alone("b") + `,"votes":[1]}`:                                                    some,
		`{"chosen":` + whole(prompt, "c") + `,"rejected":` + whole(other, "r") + `}`:                                                                       two,
		`{"chosen":` + whole(`{"role":"system","content":"s"},`+prompt, "c") + `,"rejected":` + whole(`{"role":"system","content":"s"},`+other, "r") + `}`: two,
		`{"chosen":` + whole(prompt, "c") + `,"rejected":` + whole(prompt, "r") + `}`:                                                                      "user:p > assistant:c | assistant:r",
	})
}

// checkRows reads rows of JSON Lines: what they say, whole where it has " > ", or a part of their error.
func checkRows(t *testing.T, rows map[string]string) {
	t.Helper()
	for row, want := range rows {
		got := ""
		for g, err := range Read([]string{write(t, "a.jsonl", row)}, Options{}) {
			if got = sayGroup(g); err != nil {
				got = err.Error()
			}
		}
		if !strings.Contains(got, want) || strings.Contains(want, " > ") && got != want {
			t.Errorf("%s:\n got %s\nwant %s", row, got, want)
		}
	}
}
