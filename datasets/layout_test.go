package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// layoutCase is a row of a layout and what it means: prompt, answers with the best first, and what is told of them.
type layoutCase struct{ layout, row, want string }

var layoutCases = []layoutCase{
	{"pairs", `{"prompt":"p","chosen":"c","rejected":"r"}`, "p > c | r"},
	{"pairs", `{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`,
		"user:p > assistant:c | assistant:r"},
	{"pairs", `{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}],"messages":[],"score_chosen":9.0,"score_rejected":9.0}`,
		"user:p > assistant:c | assistant:r (level)"},
	{"pairs", `{"prompt":"p","chosen":"c","rejected":"r","instruction":"other","score_chosen":9,"score_rejected":8}`, "p > c | r"},
	{"pairs with an implicit prompt", `{"chosen":"one two","rejected":"one six"}`, "one >  two |  six"},
	{"pairs with an implicit prompt", `{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}],"messages":[]}`,
		"user:p > assistant:c | assistant:r"},
	{"ranked", `{"prompt":"p","completions":["a","b","c"],"ranks":[2,3,1]}`, "p > c | a | b"},
	{"ranked", `{"prompt":"p","responses":["a","b"],"scores":[1,2]}`, "p > b | a"},
	{"votes", `{"prompt":"p","a":"x","b":"y","votes":[2,2,1]}`, "p > y | x (dissent 0.333)"},
	{"single answers", `{"prompt":"p","completion":"c","label":false}`, "p > c (label 2)"},
	{"texts", `{"text":"t"}`, " > t"},
	{"conversations", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}`, "system:s user:u > assistant:a"},
	{"HH dialogues", `{"chosen":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: good","rejected":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: gone"}`,
		`\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: >  good |  gone`},
	{"HH dialogues", `{"chosen":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d","rejected":"\n\nHuman: a\n\nAssistant: x\n\nHuman: y\n\nAssistant: d"}`,
		`\n\nHuman: a\n\nAssistant: >  b\n\nHuman: c\n\nAssistant: d |  x\n\nHuman: y\n\nAssistant: d`},
	{"alpaca pairs", `{"instruction":"i","input":"j","system":"s","history":[["q","a"]],"chosen":"c","rejected":"r"}`,
		`system:s user:q assistant:a user:i\nj > assistant:c | assistant:r`},
	{"alpaca pairs", `{"instruction":"i","input":"","chosen":"c","rejected":"r"}`, "user:i > assistant:c | assistant:r"},
	{"alpaca ranking", `{"instruction":"i","input":"","output":["c","r"]}`, "user:i > assistant:c | assistant:r"},
	{"alpaca unpaired", `{"instruction":"i","input":"","output":"c","kto_tag":true}`, "user:i > assistant:c (label 1)"},
	{"alpaca", `{"instruction":"i","input":"j","output":"c"}`, `user:i\nj > assistant:c`},
	{"sharegpt pairs", `{"conversations":[{"from":"system","value":"s"},{"from":"human","value":"h"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}`,
		"system:s user:h > assistant:c | assistant:r"},
	{"sharegpt pairs", `{"messages":[{"role":"user","content":"h"}],"chosen":{"role":"assistant","content":"c"},"rejected":{"role":"assistant","content":"r"},"system":"s"}`,
		"system:s user:h > assistant:c | assistant:r"},
	{"sharegpt pairs", `{"messages":[{"role":"user","content":"h"},{"role":"assistant","content":"g"}],"chosen":"c","rejected":"r"}`, "user:h > assistant:c | assistant:r"},
	{"sharegpt pairs", `{"conversations":[{"from":"human","value":"h"},{"from":"gpt","value":"g"}],"chosen":"c","rejected":"r"}`, "user:h > assistant:c | assistant:r"},
	{"pairs with an implicit prompt", `{"messages":[],"chosen":"one c","rejected":"one r"}`, "one >  c |  r"},
	{"sharegpt unpaired", `{"conversations":[{"from":"human","value":"h"},{"from":"gpt","value":"g"}],"kto_tag":false}`, "user:h > assistant:g (label 2)"},
	{"sharegpt", `{"conversations":[{"from":"human","value":"h"},{"from":"observation","value":"o"},{"from":"gpt","value":"g"}]}`, "user:h tool:o > assistant:g"},
	{"llamafactory v1 pairs", `{"chosen_messages":[{"role":"user","content":[{"type":"text","value":"u"}],"loss_weight":0},{"role":"assistant","content":[{"type":"text","value":"c"}],"loss_weight":1}],` +
		`"rejected_messages":[{"role":"user","content":[{"type":"text","value":"u"}],"loss_weight":0},{"role":"assistant","content":[{"type":"text","value":"r"}],"loss_weight":1}]}`,
		"user:u > assistant:c | assistant:r"},
	{"nested answers", `{"instruction":"i","source":"x","completions":[{"response":"a","overall_score":3.5},{"response":"b","overall_score":9},{"response":"c","overall_score":null}]}`,
		"user:i > assistant:b | assistant:a | assistant:c"},
	{"nested answers", `{"prompt":"p","completions":[{"response":"a","annotations":{"help":{"Rating":"2"},"truth":{"Rating":"3"}}},{"response":"b","annotations":{"help":{"Rating":"4"},"truth":{"Rating":"N/A"}}}]}`,
		"p > b | a"},
	{"nested answers", `{"prompt":"p","completions":[{"text":"a","rank":2},{"text":"b","rank":1}]}`, "p > b | a"},
	{"annotators", `{"instruction":"i","input":"j","response1":"x","response2":"y","annotator1":2,"annotator2":2,"annotator3":0}`,
		`user:i\nj > assistant:y | assistant:x (dissent 0.167)`},
	{"arena", `{"conversation_a":[{"role":"user","content":"u"},{"role":"assistant","content":"x"}],"conversation_b":[{"role":"user","content":"u"},{"role":"assistant","content":"y"}],"winner":"model_b"}`,
		"user:u > assistant:y | assistant:x"},
	{"arena", `{"conversation_a":[{"role":"user","content":"u"},{"role":"assistant","content":"x"}],"conversation_b":[{"role":"user","content":"u"},{"role":"assistant","content":"y"}],"winner":"tie (bothbad)"}`,
		"user:u > assistant:x | assistant:y (dissent 0.500)"},
	{"SHP", `{"history":"h","human_ref_A":"x","human_ref_B":"y","labels":0,"score_A":1}`, "h > y | x"},
}

// TestLayouts holds how each layout reads its rows, as a stream and as a table, and that none is without a case.
func TestLayouts(t *testing.T) {
	tried := map[string]bool{}
	for _, c := range layoutCases {
		tried[c.layout] = true
		path := write(t, "a.jsonl", c.row)
		groups, err := tryAll(path)
		if err != nil || len(groups) != 1 {
			t.Errorf("%s: %s: %v", c.layout, c.row, err)
			continue
		}
		if got := sayGroup(groups[0]); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.layout, got, c.want)
		}
		table, err := OpenTable(path, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.layout, err)
			continue
		}
		defer table.Close()
		if l := table.Layout(); l == nil || l.Name != c.layout || l.Kind != table.Kind() {
			t.Errorf("%s: the table is taken for %+v", c.layout, l)
		}
		for row, err := range table.Rows(0) {
			if err != nil || row.Err != nil || sayGroup(row.Group) != c.want {
				t.Errorf("%s: the table has %s (%v, %v)", c.layout, sayGroup(row.Group), err, row.Err)
			}
		}
	}
	for _, l := range Layouts() {
		if !tried[l.Name] {
			t.Errorf("layout %s has no case", l.Name)
		}
	}
}

func sayGroup(g Group) string {
	var answers []string
	for _, c := range g.Completions {
		answers = append(answers, sayText(c))
	}
	said := sayText(g.Prompt) + " > " + strings.Join(answers, " | ")
	if g.Dissent != 0 {
		said += fmt.Sprintf(" (dissent %.3f)", g.Dissent)
	}
	if g.Label != Unlabelled {
		said += fmt.Sprintf(" (label %d)", g.Label)
	}
	if g.Level {
		said += " (level)"
	}
	return strings.ReplaceAll(said, "\n", `\n`)
}

func sayText(t Text) string {
	if t.Messages == nil {
		return t.String
	}
	var turns []string
	for _, m := range t.Messages {
		turns = append(turns, m.Role+":"+m.Content)
	}
	return strings.Join(turns, " ")
}

// A file that fits two layouts, or none, is refused with its columns and what was tried; --columns settles which it is.
func TestLayoutsThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		row     string
		columns map[string]string
		want    string // of the error, or of the group where it begins with >
	}{
		{`{"prompt":"p","chosen":"c","rejected":"r","completions":["a","b"],"scores":[1,2]}`, nil,
			"they fit several layouts, pairs (prompt, chosen, rejected) and ranked (prompt, completions or responses, ranks or scores): " +
				"the columns are prompt, chosen, rejected, completions, scores; say which column is to be ignored, as in --columns completions="},
		{`{"prompt":"p","chosen":"c","rejected":"r","completions":["a","b"],"scores":[1,2]}`, map[string]string{"completions": ""}, ">p > c | r"},
		{`{"prompt":"p","chosen":"c","rejected":"r","completions":["a","b"],"scores":[1,2]}`, map[string]string{"chosen": ""}, ">p > b | a"},
		{`{"system":"s","question":"q","chosen":"c","rejected":"r"}`, nil, "column question stands beside those of the layout pairs with an implicit prompt (chosen, rejected): " +
			"the columns are system, question, chosen, rejected; --columns prompt=question takes it for the prompt, --columns question= ignores it"},
		{`{"instruction":"i","chosen":"c","rejected":"r","output":"o"}`, nil, "column output stands beside those of the layout alpaca pairs (instruction, chosen, rejected): " +
			"the columns are instruction, chosen, rejected, output; --columns output= ignores it"},
		{`{"instruction":"i","chosen":"c","rejected":"r","output":"o"}`, map[string]string{"output": ""}, ">user:i > assistant:c | assistant:r"},
		{`{"prompt":"p","instruction":"i","text":"t"}`, nil, "columns prompt, instruction stand beside those of the layout texts (text): the columns are prompt, instruction, text; --columns prompt=,instruction= ignores them"},
		{`{"system":"s","question":"q","chosen":"c","rejected":"r"}`, map[string]string{"prompt": "question"}, ">q > c | r"},
		{`{"frage":"i","chosen":"c","rejected":"r"}`, map[string]string{"instruction": "frage"}, ">user:i > assistant:c | assistant:r"},
		{`{"id":1,"body":"b"}`, nil, "no answers: the columns are id, body; needed are those of a layout:\n  conversations (messages)\n  pairs (prompt, chosen, rejected)\n"},
		{`{"prompt":"p","completions":["a","b"]}`, nil, "no column ranks or scores beside completions"},
		{`{"prompt":"p","completions":[{"response":"a"},{"response":"b"}]}`, nil, "no answer has a score: one of [overall_score rating score rank], or annotations with Rating, is needed"},
		{`{"prompt":"p","completions":[{"response":"a"},{"answer":"b"}]}`, nil, "column completions, answer 1: it is an object with answer: a response is needed"},
		{`{"chosen":"\n\nHuman: a","rejected":"\n\nHuman: b"}`, nil, `chosen and rejected have no turn "Assistant:" in common`},
		{`{"instruction":1,"chosen":"c","rejected":"r"}`, nil, "column instruction holds a number: a string is needed"},
		{`{"instruction":"i","input":[],"chosen":"c","rejected":"r"}`, nil, "column input holds an empty list: a string is needed"},
		{`{"instruction":"i","history":"h","output":"o"}`, nil, "column history holds a string: a list of [question, answer] pairs is needed"},
		{`{"instruction":"i","history":[["q"]],"output":"o"}`, nil, "column history, turn 0: it is a list of string: a list [question, answer] is needed"},
		{`{"conversations":[{"from":"human","value":"h"},{"from":"human","value":"h"}]}`, nil, "column conversations ends with a turn of user: the assistant's is needed"},
		{`{"conversations":[{"from":"gpt","value":"h"}]}`, nil, "column conversations has 1 turns"},
		{`{"conversations":[{"from":"function_call","value":"{}"},{"from":"gpt","value":"h"}]}`, nil, `column conversations, turn 0: it is from function_call, and its value is "{}": JSON of {name, arguments} is needed, or a list of these`},
		{`{"conversations":[{"from":"human","value":"h"},{"from":"function_call","value":"[{\"name\":\"f\"}]"}]}`, nil, `column conversations, turn 1: it is from function_call, and its value is "[{\"name\":\"f\"}]": JSON of`},
		{`{"conversations":[{"from":"narrator","value":"n"},{"from":"gpt","value":"h"}]}`, nil, `column conversations, turn 0: it is from "narrator": human, gpt, system, function_call and observation are read`},
		{`{"conversations":[{"from":"human","value":"h"},{"from":"gpt","value":"g"}],"tools":"f(x)"}`, nil, "column tools holds a string: a list of JSON schemas is needed, or a string with one"},
		{`{"conversations":"h","kto_tag":true}`, nil, "column conversations holds a string: a list of turns is needed"},
		{`{"conversation_a":"x","conversation_b":"y","winner":"me"}`, nil, `column winner holds "me": model_a, model_b or tie is needed`},
		{`{"history":"h","human_ref_A":"x","human_ref_B":"y","labels":2}`, nil, "column labels holds 2: 1 or 0 is needed"},
	} {
		for g, err := range Read([]string{write(t, "a.jsonl", c.row)}, Options{Columns: c.columns}) {
			got := ">" + sayGroup(g)
			if err != nil {
				got = err.Error()
			}
			if c.want[0] == '>' && got != c.want || !strings.Contains(got, c.want) {
				t.Errorf("%s %v:\n got %s\nwant %s", c.row, c.columns, got, c.want)
			}
		}
	}
}

// Where ties are dropped, a pair of one score and votes that are even teach nothing; where they are not, the pair is taken as it stands.
func TestLevelPairsAreTies(t *testing.T) {
	for row, dropped := range map[string]bool{
		`{"prompt":"p","chosen":"c","rejected":"r","score_chosen":5,"score_rejected":5}`: true,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_score":5,"rejected_score":5}`: true,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_score":5,"rejected_score":4}`: false,
		`{"prompt":"p","chosen":"c","rejected":"r"}`:                                     false,
		`{"prompt":"p","a":"c","b":"r","votes":[0,1,2]}`:                                 true,
		`{"prompt":"p","a":"c","b":"r","votes":[0,0,2]}`:                                 false,
	} {
		g := readAll(t, write(t, "a.jsonl", row))[0]
		for _, ties := range []TiePolicy{TiesAverage, TiesDrop} {
			_, reason := (&Encoder{Ties: ties}).usable(g)
			if want := map[bool]string{true: DropTied}[dropped && ties == TiesDrop]; reason != want {
				t.Errorf("%s with ties %s: dropped for %q, want %q", row, ties, reason, want)
			}
		}
	}
}

// Prompts are found in the columns of a layout, too, and what generate writes is without its answers.
func TestPromptsOfLayouts(t *testing.T) {
	for _, c := range []struct{ row, prompt, answers string }{
		{`{"instruction":"i","input":"j","chosen":"c","rejected":"r","id":1}`, `user:i\nj`, "chosen rejected"},
		{`{"conversations":[{"from":"human","value":"h"},{"from":"gpt","value":"g"}]}`, "user:h", ""},
		{`{"prompt":"p","system":"s","tools":"[]","chosen":"c","rejected":"r"}`, "p", "chosen rejected"},
		{`{"system":"s","messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}],"label":true}`, "system:s user:u", "label"},
		{`{"messages":[{"role":"user","content":"u"}],"chosen":"c","rejected":"r"}`, "user:u", "chosen rejected"},
		{`{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"","tool_calls":[{"name":"f"}]},{"role":"tool","content":"t"},{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}]}`,
			"user:u assistant: tool:t", ""},
	} {
		table, err := OpenTable(write(t, "a.jsonl", c.row), Options{PromptOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		for row := range table.Rows(0) {
			if got := strings.ReplaceAll(sayText(row.Group.Prompt), "\n", `\n`); got != c.prompt || row.Err != nil {
				t.Errorf("%s: the prompt is %s (%v), want %s", c.row, got, row.Err, c.prompt)
			}
		}
		if got := strings.Join(table.Answers(), " "); got != c.answers {
			t.Errorf("%s: answers are in %q, want %q", c.row, got, c.answers)
		}
	}
	table, err := OpenTable(write(t, "a.jsonl", `{"instruction":"i","completions":["a","b"]}`), Options{Unranked: true})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for row := range table.Rows(0) {
		if got := sayGroup(row.Group); got != "user:i > assistant:a | assistant:b" {
			t.Errorf("unranked: %s (%v)", got, row.Err)
		}
	}
}

// TestLayoutsOfSharedData holds every file of shared/data's preferences to its README's counts, and ten rows of each to what a script
// made of them without our code.
func TestLayoutsOfSharedData(t *testing.T) {
	type worked struct {
		Bytes  int
		SHA256 string
	}
	var files []struct {
		File                       string
		Rows, Broken, Empty, Equal int
		Worked                     []struct {
			Row     int64
			Prompt  worked
			Answers []worked
		}
	}
	golden.JSON(t, golden.Testdata(t, "golden", "layouts.json"), &files)
	sum := func(text Text) worked {
		data := []byte(text.String)
		for _, m := range text.Messages {
			data = append(data, m.Role+"\x00"+m.Content+"\x00"...)
		}
		digest := sha256.Sum256(data)
		return worked{len(data), hex.EncodeToString(digest[:])}
	}
	var names []string
	for _, f := range files {
		path := golden.Shared(t, f.File)
		names = append(names, filepath.Base(path))
		var groups []Group
		drops, broken := map[string]int{}, 0
		for g, err := range Read([]string{path}, Options{}) {
			groups = append(groups, g)
			var row *RowError
			if errors.As(err, &row) {
				broken++
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			if _, reason := (&Encoder{Ties: TiesAverage}).usable(g); reason != "" {
				drops[reason]++
			}
		}
		if len(groups) != f.Rows || broken != f.Broken || drops[DropEmpty] != f.Empty || drops[DropEqual] != f.Equal {
			t.Errorf("%s: %d rows, %d broken, dropped %v; want %d, %d, and %d empty and %d equal", f.File, len(groups), broken, drops, f.Rows, f.Broken, f.Empty, f.Equal)
		}
		if len(f.Worked) != 10 {
			t.Errorf("%s: %d rows were worked out, want 10", f.File, len(f.Worked))
		}
		for _, w := range f.Worked {
			g := groups[w.Row]
			var answers []worked
			for _, c := range g.Completions {
				answers = append(answers, sum(c))
			}
			if g.Row != w.Row || sum(g.Prompt) != w.Prompt || !slices.Equal(answers, w.Answers) {
				t.Errorf("%s: row %d is %v > %v, want %v > %v", f.File, w.Row, sum(g.Prompt), answers, w.Prompt, w.Answers)
			}
		}
	}
	for _, folder := range []string{"pref", "raw-formats"} {
		there, err := filepath.Glob(filepath.Join(golden.Shared(t, folder), "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range there {
			if !slices.Contains(names, filepath.Base(path)) {
				t.Errorf("%s has no row in layouts.json", filepath.Base(path))
			}
		}
	}
}

// TestCountsOfSharedData holds what shared/data's README counts beside rows.
func TestCountsOfSharedData(t *testing.T) {
	inspect := func(name string) Inspection {
		var last Inspection
		for in, err := range Inspect([]string{golden.Shared(t, "pref/"+name)}, nil, Options{}, &Encoder{Ties: TiesDrop}) {
			if err != nil {
				t.Fatal(err)
			}
			last = *in
		}
		return last
	}
	if in := inspect("ultrafeedback-train1000.pairs.jsonl"); in.Rows != 1000 || in.Layout != "pairs" || in.Tied != 111 || in.Dropped < 111 {
		t.Errorf("ultrafeedback: %+v", in)
	}
	// 85 rows have all three votes for neither answer; in 20 more the third is for one of them, and README has these as ties, too.
	if in := inspect("pandalm-human-999.votes.jsonl"); in.Rows != 999 || in.Layout != "votes" || in.Even != 85 {
		t.Errorf("pandalm: %+v", in)
	}
	if in := inspect("qafeedback-human-500x4.ranked.jsonl"); in.Layout != "ranked" || in.Answers[4] != 500 || in.Rows-in.Tied != 314 || in.Dropped != 12 {
		t.Errorf("qafeedback: %+v", in)
	}
	if in := inspect("llamafactory-kto-en-298.unpaired.jsonl"); in.Layout != "single answers" || in.Desirable != 148 || in.Undesirable != 150 {
		t.Errorf("kto: %+v", in)
	}
	ties := 0
	table, err := OpenTable(golden.Shared(t, "pref/pandalm-human-999.votes.jsonl"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for row := range table.Rows(0) {
		neither := 0
		for _, vote := range row.Value("votes").([]any) {
			if vote == 0.0 {
				neither++
			}
		}
		if neither >= 2 {
			ties++
		}
	}
	if ties != 105 {
		t.Errorf("pandalm: most votes are for neither in %d rows, want 105", ties)
	}
}
