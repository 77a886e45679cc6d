package datasets

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mergingTokens is byteTokens, but a space and what follows it are one token.
type mergingTokens struct{ byteTokens }

func (mergingTokens) Encode(text string) (ids []int32, ends []int, err error) {
	ids, ends = []int32{256}, []int{-1}
	for i := 0; i < len(text); i++ {
		id := int32(text[i])
		if text[i] == ' ' && i+1 < len(text) {
			i++
			id = 1000 + int32(text[i])
		}
		ids, ends = append(ids, id), append(ends, i+1)
	}
	return ids, ends, nil
}

func (m mergingTokens) EncodeInert(text string, _ []int) ([]int32, []int, error) {
	return m.Encode(text)
}

// pairRow is a line of a file of pairs.
type pairRow struct {
	Prompt   string `json:"prompt"`
	Chosen   string `json:"chosen"`
	Rejected string `json:"rejected"`
}

// healthyRows are 200 pairs of which nothing is to be said: each prompt is new, and either answer is as often the longer one.
func healthyRows(first int) []pairRow {
	rows := make([]pairRow, 200)
	for i := range rows {
		n := first + i
		rows[i] = pairRow{fmt.Sprintf("prompt %d", n), fmt.Sprintf(" good%s %d", strings.Repeat("!", i%7), n), fmt.Sprintf(" bad%s %d", strings.Repeat("!", 6-i%7), n)}
	}
	return rows
}

func writeRows[T any](t *testing.T, rows []T) string {
	t.Helper()
	var b strings.Builder
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	return write(t, "rows.jsonl", b.String())
}

// rowsChanged changes the first n of healthy rows.
func rowsChanged(n int, change func(rows []pairRow, i int)) func() []pairRow {
	return func() []pairRow {
		rows := healthyRows(0)
		for i := range n {
			change(rows, i)
		}
		return rows
	}
}

// warned gives the warnings of an inspection of rows, and of held-out rows if there are any.
func warned(t *testing.T, enc *Encoder, rows, held []pairRow) []Warning {
	t.Helper()
	var patterns []string
	if held != nil {
		patterns = []string{writeRows(t, held)}
	}
	var last *Inspection
	for in, err := range Inspect([]string{writeRows(t, rows)}, patterns, Options{}, enc) {
		if err != nil {
			t.Fatal(err)
		}
		last = in
	}
	return last.Warnings
}

// faultCases are, for each fault, data that has it and data that nearly has: 200 rows, of which so many are changed.
var faultCases = map[string]struct {
	provoke, near int // rows changed
	change        func(rows []pairRow, i int)
	held          func(rows []pairRow, n int) []pairRow
	tokens        bool   // it takes a tokenizer to see it
	says          string // in the warning
}{
	"equal-answers":    {10, 9, func(r []pairRow, i int) { r[i].Chosen = r[i].Rejected }, nil, false, "10 of 200 rows (5.0 %) have equal answers"},
	"nothing-to-score": {10, 9, func(r []pairRow, i int) { r[i].Rejected = "" }, nil, false, "10 of 200 rows (5.0 %) have no token left to learn from (10 empty completion)"},
	"duplicates":       {10, 9, func(r []pairRow, i int) { r[i] = r[199-i] }, nil, false, "10 of 200 rows (5.0 %) repeat an earlier row"},
	"contradictions": {2, 1, func(r []pairRow, i int) {
		r[i] = pairRow{r[199-i].Prompt, r[199-i].Rejected, r[199-i].Chosen}
	}, nil, false, "2 of 200 rows (1.0 %) order the answers of an earlier row the other way round"},
	"leaked-groups": {2, 1, func([]pairRow, int) {}, func(r []pairRow, n int) []pairRow {
		return append(healthyRows(1000)[:200-n], r[:n]...)
	}, false, "2 of 200 held-out rows (1.0 %) are in the training data too"},
	"leaked-prompts": {20, 19, func([]pairRow, int) {}, func(r []pairRow, n int) []pairRow {
		held := healthyRows(1000)
		for i := range n {
			held[i].Prompt = r[i].Prompt
		}
		return held
	}, false, "20 of 200 held-out rows (10 %) have a prompt of the training data, with other answers"},
	"length-bias": {200, 40, func(r []pairRow, i int) { r[i].Chosen += " and some more" }, nil, false,
		"the longer answer is preferred in 200 of 200 rows whose answers differ in length (100 %) (sign test: 14.1 standard errors)"},
	"cut-rows": {10, 9, func(r []pairRow, i int) {
		r[i].Chosen += strings.Repeat("x", 80)
		r[i].Rejected += strings.Repeat("y", 80)
	}, nil, true, "10 of 200 rows (5.0 %) exceed --max-length 60 and are cut, 10 of them at the end of an answer"},
	"border-tokens": {10, 9, func(r []pairRow, i int) {
		r[i] = pairRow{r[i].Prompt + " ", r[i].Chosen[1:], r[i].Rejected[1:]}
	}, nil, true, "20 of 400 answers (5.0 %) begin with a token that spans the border"},
	"no-preference": {}, // of rankings: TestNoPreference
	"refused-rows":  {}, // TestNotedRows has these
	"columns-aside": {},
	"no-prompt":     {},
}

// Each fault is named with its numbers where data has it, and nothing is where data nearly has it, with a tokenizer or without.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		c, there := faultCases[f.name]
		if !there {
			t.Errorf("faultCases has nothing for %q", f.name)
		}
		if c.change == nil {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			for _, enc := range []*Encoder{{}, {Tokenizer: mergingTokens{}, MaxLength: 60, MaxPromptLength: 20}} {
				if c.tokens && enc.Tokenizer == nil {
					continue
				}
				run := func(n int) []Warning {
					rows := rowsChanged(n, c.change)()
					var held []pairRow
					if c.held != nil {
						held = c.held(rows, n)
					}
					return warned(t, enc, rows, held)
				}
				got := run(c.provoke)
				if len(got) != 1 || got[0].Name != f.name || !strings.Contains(got[0].What, c.says) || got[0].Hint == "" || strings.Contains(got[0].String(), "\n") {
					t.Errorf("provoked, tokenizer %v: %q, want %s with %q", enc.Tokenizer != nil, got, f.name, c.says)
				}
				if got := run(c.near); len(got) > 0 {
					t.Errorf("nearly, tokenizer %v: %q", enc.Tokenizer != nil, got)
				}
			}
		})
	}
}

// rankedLine is a line of a file of rankings.
type rankedLine struct {
	Prompt      string    `json:"prompt"`
	Completions []string  `json:"completions"`
	Scores      []float64 `json:"scores"`
}

// rankings are 40 of three answers, of which the first n are all tied.
func rankings(n int) (rows []rankedLine) {
	for i := range 40 {
		r := rankedLine{fmt.Sprint("prompt ", i), []string{" a", " b", " c"}, []float64{float64(i % 3), 5, 9}}
		if i < n {
			r.Scores = []float64{1, 1, 1}
		}
		rows = append(rows, r)
	}
	return rows
}

func TestNoPreference(t *testing.T) {
	for n, want := range map[int]string{2: "2 of 40 rows (5.0 %) prefer no answer (2 all answers are tied) and are dropped", 1: ""} {
		got := inspect(t, &Encoder{Ties: TiesDrop}, writeRows(t, rankings(n))).Warnings
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0].Name != "no-preference" || got[0].What != want) {
			t.Errorf("%d rows tied: %q, want %q", n, got, want)
		}
	}
}

// A group is one whatever the order of its answers, and a contradiction only where each order is outright.
func TestSurveyTellsOrdersApart(t *testing.T) {
	g := func(dissent float64, answers ...string) Group {
		of := Group{Prompt: Text{String: "p"}, Dissent: dissent}
		for _, a := range answers {
			of.Completions = append(of.Completions, Text{String: a})
		}
		return of
	}
	for _, test := range []struct {
		a, b             Group
		repeats, reverse int
	}{
		{g(0, "x", "y"), g(0, "x", "y"), 1, 0},
		{g(0, "x", "y"), g(0, "y", "x"), 0, 1},
		{g(0, "x", "y", "z"), g(0, "y", "z", "x"), 0, 1},
		{g(0.3, "x", "y"), g(0, "y", "x"), 0, 0},
		{g(0, "xy", "z"), g(0, "x", "yz"), 0, 0},
		{g(0, "x"), g(0, "x"), 1, 0},
	} {
		s := NewSurvey()
		s.AddText(test.a)
		s.AddText(test.b)
		if s.repeats != test.repeats || s.reverse != test.reverse {
			t.Errorf("%v then %v: %d repeat, %d reverse; want %d, %d", test.a.Completions, test.b.Completions, s.repeats, s.reverse, test.repeats, test.reverse)
		}
	}
}

// Pairs of the same best answer are no copies where that alone is taken.
func TestBestAnswersMayRepeat(t *testing.T) {
	for _, first := range []bool{false, true} {
		s := NewSurvey()
		s.First = first
		for range 3 {
			s.AddText(Group{Prompt: Text{String: "p"}, Completions: []Text{{String: "a"}}})
		}
		if got := s.Warnings(); len(got) > 0 == first {
			t.Errorf("the first answers alone, %v: %q", first, got)
		}
	}
}

// Where prompts come from a list, held-out rows have them too, and nothing is said of it.
func TestPromptsOfAList(t *testing.T) {
	rows, held := healthyRows(0), healthyRows(1000)
	for i := range rows {
		rows[i].Prompt, held[i].Prompt = fmt.Sprint("tell of ", i%20), fmt.Sprint("tell of ", i%20)
	}
	if got := warned(t, &Encoder{}, rows, held); len(got) > 0 {
		t.Errorf("20 prompts of 200 rows: %q", got)
	}
	for i := range rows {
		rows[i].Prompt, held[i].Prompt = fmt.Sprint("tell of ", i%40), fmt.Sprint("tell of ", i%40)
	}
	if got := warned(t, &Encoder{}, rows, held); len(got) != 1 || got[0].Name != "leaked-prompts" {
		t.Errorf("40 prompts of 200 rows: %q", got)
	}
}

// Few rows do not make a length bias, however one-sided they are, nor do answers of nearly the same length, nor a mild bias in many.
func TestLengthBiasNeedsEvidence(t *testing.T) {
	longer := func(n, of, by int) []Warning {
		s := NewSurvey()
		for i := range of {
			a, b := strings.Repeat("a", 100), strings.Repeat("b", 100+by)
			if i < n {
				a, b = b, a
			}
			s.AddText(Group{Prompt: Text{String: fmt.Sprint(i)}, Completions: []Text{{String: a}, {String: b}}})
		}
		return s.Warnings()
	}
	for _, test := range []struct {
		n, of, by int
		want      string
	}{
		{15, 15, 50, ""}, {16, 16, 50, "the longer answer"}, {6300, 10000, 50, ""}, {6700, 10000, 50, "the longer answer"}, {400, 400, 9, ""},
		{0, 16, 50, "the shorter answer is preferred in 16 of 16 rows"},
	} {
		got := longer(test.n, test.of, test.by)
		if (len(got) == 0) != (test.want == "") || test.want != "" && !slices.ContainsFunc(got, func(w Warning) bool { return strings.Contains(w.What, test.want) }) {
			t.Errorf("longer chosen in %d of %d, by %d of 100: %q, want %q", test.n, test.of, test.by, got, test.want)
		}
	}
}

// A reason that is declared is one of a row that holds nothing to learn from, and a fault counts it; any other is told of as a row that
// could not be understood.
func TestDropReasonsAreKnown(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Drop") {
				return true
			}
			declared++
			reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			s := NewSurvey()
			s.Drop(reason)
			if what, _ := refusedRows(s); what != "" {
				t.Errorf("%s: %s", spec.Names[0].Name, what)
			}
			if warned := s.Warnings(); len(warned) == 0 {
				t.Errorf("%s is told of by no fault", spec.Names[0].Name)
			}
			return true
		})
	}
	if declared != len(dropReasons) {
		t.Errorf("%d reasons are declared, %d are known", declared, len(dropReasons))
	}
}
