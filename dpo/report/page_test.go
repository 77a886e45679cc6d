package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// measured is a run of n steps whose numbers follow simple curves, with an evaluation every tenth of it.
func measured(name string, n int) Run {
	r := Run{Name: name, Series: map[string][]Point{}, Settings: []Setting{{"model", "models/llama"}, {"beta", "0.1"}, {"out", name}},
		Dropped: Dropped{Rows: 3, Reasons: map[string]int{"the answers are equal": 2, "nothing is scored": 1},
			First: []Drop{{"pairs.jsonl", 4, "the answers are equal"}}},
		Evaluations: []Evaluation{{Name: name + "/run/eval.json", Values: []Setting{{"accuracy", "0.75"}}}}}
	for i := 1; i <= n; i++ {
		x, noise := float64(i)/float64(n), math.Sin(float64(i)*12.9898)
		for metric, v := range map[string]float64{
			"loss": math.Ln2*math.Exp(-x) + 0.05*noise, "rewards/chosen": x + 0.1*noise, "rewards/rejected": -2*x + 0.1*noise,
			"rewards/accuracies": 0.5 + 0.4*x + 0.1*noise, "rewards/margins": 3*x + 0.1*noise, "logps/chosen": -90 + 3*noise,
			"logps/rejected": -100 + 3*noise, "grad_norm": 2 + noise, "learning_rate": 1e-6 * min(1, 10*x), "num_tokens": 512 * float64(i),
			"tokens_per_second": 900 + 20*noise, "step_seconds": 0.5 + 0.01*noise, "optimizer_seconds": 0.1, "peak_memory_bytes": 1 << 30,
			"padding_ratio": 0.2, "sharing_ratio": 0.3, "skipped_ratio": 0.4, "rows_dropped": 3, "rows_truncated": 0, "entropy": 2 - x,
		} {
			r.Series[metric] = append(r.Series[metric], Point{float64(i), v})
		}
		if i%max(1, n/10) == 0 {
			r.Series["eval_loss"] = append(r.Series["eval_loss"], Point{float64(i), math.Ln2 * math.Exp(-0.8*x)})
			r.Series["eval_rewards/accuracies"] = append(r.Series["eval_rewards/accuracies"], Point{float64(i), 0.5 + 0.35*x})
		}
	}
	return r
}

func frontier() *Frontier {
	f := &Frontier{Reward: "sentiment", ReferenceReward: 0.5, Samples: []BeforeAfter{{"The film", " was dull.", " was bright.", 0.1, 0.9}}}
	for i := range 6 {
		kl := 0.4 * float64(i+1)
		f.Points = append(f.Points, FrontierPoint{Method: "dpo", Label: fmt.Sprintf("beta %g", 0.1*float64(1+i/3)), Beta: 0.1 * float64(1+i/3), Step: 40 * (1 + i%3), KL: kl, KLSE: 0.05, Reward: 0.5 + 0.2*math.Sqrt(kl), RewardSE: 0.02, Samples: 512})
		n := 1 << i
		f.Points = append(f.Points, FrontierPoint{Method: "best-of-n", Label: fmt.Sprint("N = ", n), N: n, KL: math.Log(float64(n)) - 1 + 1/float64(n), Reward: 0.5 + 0.06*float64(i), RewardSE: 0.01, Samples: 512})
		f.Bound = append(f.Bound, BoundPoint{Beta: 1 / float64(i+1), KL: kl, Reward: 0.5 + 0.24*math.Sqrt(kl), ESS: 400 / float64(i+1)})
	}
	f.Points = append(f.Points, FrontierPoint{Method: "preferred-ft", Label: "epoch 1", KL: 0.6, KLSE: 0.03, Reward: 0.56, RewardSE: 0.02, Samples: 512})
	return f
}

func whole() Report {
	return Report{Runs: []Run{measured("runs/a", 300), measured("runs/b", 300)}, Frontier: frontier()}
}

func written(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is one of a page, with its text and that of what it holds.
type element struct {
	name  string
	attrs map[string]string
	inner []*element
	text  string
}

// parse reads the page as XML, which is stricter than HTML: every element must be closed, every attribute quoted, every & escaped.
func parse(t *testing.T, page string) *element {
	t.Helper()
	in := xml.NewDecoder(strings.NewReader(page))
	root := &element{}
	open := []*element{root}
	for {
		token, err := in.Token()
		if err == io.EOF {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			top.inner = append(top.inner, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, e := range open {
				e.text += string(token)
			}
		}
	}
}

func (e *element) all(name string) (found []*element) {
	for _, x := range e.inner {
		if x.name == name {
			found = append(found, x)
		}
		found = append(found, x.all(name)...)
	}
	return found
}

// outline are headings, plots and tables, in the page's order.
func (e *element) outline() (lines []string) {
	for _, x := range e.inner {
		switch x.name {
		case "h1", "h2", "h3":
			lines = append(lines, x.name+" "+x.text)
		case "figure":
			lines = append(lines, "figure "+x.attrs["id"])
			continue
		case "caption":
			lines = append(lines, "table "+strings.SplitN(x.text, ".", 2)[0])
		}
		lines = append(lines, x.outline()...)
	}
	return lines
}

var keep = flag.String("page", "", "file to write the page of these tests to: see scripts/report-screenshots")

func TestOutline(t *testing.T) {
	if *keep != "" {
		if err := os.WriteFile(*keep, []byte(written(t, whole())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := `h1 Training report
h2 Runs
table Runs
h2 Frontier
figure frontier-kl
figure frontier-sqrt-kl
h2 Training
figure loss
figure accuracy
figure rewards
figure margins
figure logps
figure grad-norm
figure learning-rate
figure metric-1-entropy
h2 Evaluations
table What was evaluated
h2 Samples
h3 Samples of the frontier
h2 Settings
table Settings of the runs; those that differ are marked
h2 Rows left out
table Rows left out, by reason
table The first rows left out, at most 10 a run; run/dropped
h2 Computing
figure tokens
figure speed
figure seconds
figure memory
figure ratios
figure rows`
	if got := strings.Join(parse(t, written(t, whole())).outline(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Those who see no plot have its title, a description and its numbers; ids are unique, for labels and links go by them.
func TestPlotsCanBeRead(t *testing.T) {
	page := parse(t, written(t, whole()))
	for _, f := range page.all("figure") {
		id := f.attrs["id"]
		svgs := f.all("svg")
		if len(svgs) != 1 || svgs[0].attrs["role"] != "img" || svgs[0].attrs["aria-labelledby"] != id+"-title "+id+"-text" {
			t.Errorf("%s: no labelled image", id)
			continue
		}
		title, text := svgs[0].all("title"), svgs[0].all("desc")
		if len(title) != 1 || title[0].text == "" || len(text) != 1 || len(text[0].text) < 40 {
			t.Errorf("%s: no title or description", id)
		}
		tables := f.all("table")
		if len(tables) == 0 || len(tables[0].all("tr")) < 4 {
			t.Errorf("%s: no table of its numbers", id)
		}
	}
	ids := map[string]bool{}
	var visit func(e *element)
	visit = func(e *element) {
		if id := e.attrs["id"]; id != "" && ids[id] {
			t.Errorf("id %s is there twice", id)
		} else {
			ids[id] = true
		}
		for _, x := range e.inner {
			visit(x)
		}
	}
	visit(page)
}

// foreign is all by which a page could ask for something that is not in it.
var foreign = regexp.MustCompile(`(?i)https?:|url\(|@import|<(script|iframe|object|embed|img|image|use|base)\b|\b(src|srcset|on[a-z]+)=`)

func TestNothingForeign(t *testing.T) {
	page := written(t, whole())
	if found := foreign.FindString(page); found != "" {
		t.Errorf("the page holds %q", found)
	}
	if !strings.Contains(page, `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"`) {
		t.Error("the page does not forbid what is foreign")
	}
	for _, e := range parse(t, page).all("a") {
		if !strings.HasPrefix(e.attrs["href"], "#") {
			t.Errorf("a link to %s", e.attrs["href"])
		}
	}
}

// Every colour of a plot is a variable that both themes set.
func TestPlotsFollowTheTheme(t *testing.T) {
	page := written(t, whole())
	style, rest, _ := strings.Cut(page, "</style>")
	if found := regexp.MustCompile(`#[0-9A-Fa-f]{6}`).FindString(rest); found != "" {
		t.Errorf("a plot has the fixed colour %s", found)
	}
	for _, m := range regexp.MustCompile(`var\((--[a-z0-9]+)\)`).FindAllStringSubmatch(page, -1) {
		if strings.Count(style, m[1]+":#") != 2 {
			t.Fatalf("variable %s is not set twice", m[1])
		}
	}
	light := map[string]string{}
	for _, v := range variables() {
		if before, twice := light[hex(v.light)]; twice {
			t.Errorf("variables %s and %s have one colour", before, v.name)
		}
		light[hex(v.light)] = v.name
	}
}

func TestSameBytes(t *testing.T) {
	first := written(t, whole())
	for range 3 {
		if written(t, whole()) != first {
			t.Fatal("the same report gave other bytes")
		}
	}
}

const hostile = `</script></title></style><img src="x" onerror='alert(1)'>&amp;]]> "quoted" ` + "\x00\x1b\xff"

func TestHostileText(t *testing.T) {
	r := whole()
	r.Title = hostile
	r.Runs[0].Name = hostile
	r.Runs[0].Settings = append(r.Runs[0].Settings, Setting{hostile, hostile})
	r.Runs[0].Series[hostile] = []Point{{1, 1}, {2, 2}}
	r.Runs[0].Dropped.Reasons[hostile] = 1
	r.Runs[0].Dropped.First[0] = Drop{hostile, 1, hostile}
	r.Evaluations = []Evaluation{{hostile, []Setting{{hostile, hostile}}}}
	r.Frontier.Reward, r.Frontier.Points[0].Label = hostile, hostile
	r.Frontier.Samples[0] = BeforeAfter{Prompt: hostile, Before: hostile, After: hostile}
	r.Samples = []Samples{{hostile, []string{hostile}, []Sample{{hostile, []Text{{Text: hostile, Finish: hostile}}}}}}
	text := written(t, r)
	page := parse(t, text)
	for _, name := range []string{"img", "script"} {
		if len(page.all(name)) > 0 {
			t.Errorf("text became the element %s", name)
		}
	}
	shown := plain(hostile)
	for _, name := range []string{"h1", "article", "svg", "td", "th", "figcaption"} {
		if !slices.ContainsFunc(page.all(name), func(e *element) bool { return strings.Contains(e.text, shown[:40]) }) {
			t.Errorf("no %s shows the text as it is", name)
		}
	}
}

// Half a year of steps: the page must open on a phone.
func TestLongRunsGiveSmallPages(t *testing.T) {
	page := written(t, Report{Runs: []Run{measured("a", 100_000), measured("b", 100_000), measured("c", 1000)}, Frontier: frontier()})
	if len(page) > 1<<20 {
		t.Errorf("the page has %d bytes, 1 MiB is the most", len(page))
	}
	t.Logf("%d bytes", len(page))
}

func TestShortRuns(t *testing.T) {
	empty := Run{Name: "empty", Series: map[string][]Point{}}
	one := Run{Name: "one", Series: map[string][]Point{"loss": {{1, math.Ln2}}, "kl": {{1, 0}}, "gone": {{1, math.NaN()}}, "far": {{1, 1e300}, {2, -1e300}}}}
	page := parse(t, written(t, Report{Runs: []Run{empty, one}}))
	var ids []string
	for _, f := range page.all("figure") {
		ids = append(ids, f.attrs["id"])
	}
	if got := strings.Join(ids, " "); got != "loss kl" {
		t.Errorf("figures %q, want loss and kl: of the others nothing can be drawn", got)
	}
	if page := parse(t, written(t, Report{})); len(page.all("h1")) != 1 {
		t.Error("an empty report has no heading")
	}
}
