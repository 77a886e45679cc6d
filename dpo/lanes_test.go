package dpo

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// However many lanes there are, the file is the same, to the last byte.
func TestLanesChangeNoByte(t *testing.T) {
	data := []string{writePairs(t, 90)}
	var want []byte
	for _, threads := range []int{1, 2, 5, 20} {
		f := ScoreFiles{Data: data, Out: outFile(t)}
		if _, err := scoreTiny(t, f, 0, func(c *ScoreConfig) { c.Threads = threads }); err != nil {
			t.Fatal(err)
		}
		if got := readBytes(t, f.Out); want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("%d threads: the file differs from that of one", threads)
		}
	}
}

// A model that is not large has a lane for each thread, up to eight.
func TestLanes(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	for threads, want := range map[int][2]int{1: {1, 1}, 3: {3, 1}, 8: {8, 1}, 20: {8, 2}} {
		c := scoreConfig(dir, "")
		c.Threads = threads
		s, err := NewScorer(c, loadTokenizer(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := [2]int{len(s.lanes), s.options.Threads}; got != want {
			t.Errorf("%d threads: %d lanes of %d, want %v", threads, got[0], got[1], want)
		}
		if s.microTokens != laneTokens {
			t.Errorf("%d threads: micro-batches of %d tokens, want %d whatever the lanes", threads, s.microTokens, laneTokens)
		}
	}
}

// Each micro-batch is computed once; after an error no lane begins another.
func TestEachMicroBatchOnce(t *testing.T) {
	lanes := make([]*lane, 3)
	var done [100]atomic.Int64
	if err := sideBySide(lanes, len(done), func(_ *lane, i int) error { done[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range done {
		if n := done[i].Load(); n != 1 {
			t.Errorf("micro-batch %d is computed %d times", i, n)
		}
	}
	bad := errors.New("bad")
	var begun atomic.Int64
	err := sideBySide(lanes, len(done), func(*lane, int) error { begun.Add(1); return bad })
	if !errors.Is(err, bad) || begun.Load() > int64(len(lanes)) {
		t.Errorf("error %v after %d micro-batches, want it after one a lane at most", err, begun.Load())
	}
}

// A reference that is the policy is not computed apart, and the file is what it would be if it were.
func TestReferenceThatIsThePolicy(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	tok := loadTokenizer(t, dir)
	s, err := NewScorer(scoreConfig(dir, dir), tok)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, l := range s.lanes {
		if l.ref != nil {
			t.Fatal("the same model is opened again as its reference")
		}
	}
	table, err := datasets.OpenTable(writePairs(t, 20), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var rows []datasets.Row
	for row, err := range table.Rows(0) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	once, err := s.compute(s.encode(rows))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.lanes {
		if l.ref, err = openFrozen(dir, onnx.Float32, s.options); err != nil {
			t.Fatal(err)
		}
	}
	twice, err := s.compute(s.encode(rows))
	if err != nil || !reflect.DeepEqual(once, twice) {
		t.Errorf("computed once %v, twice %v (%v)", once, twice, err)
	}
	if x := once[0]; len(x.Rewards) != 2 || x.Rewards[0] != 0 || x.Reference[0] != x.Policy[0] {
		t.Errorf("scores %+v, want rewards of 0", x)
	}
}

// A loop that is left while windows are read ahead leaves nothing running that the files are closed under.
func TestScoreLeftEarly(t *testing.T) {
	c := scoreConfig(golden.Testdata(t, "models", "tiny-llama"), "")
	f := ScoreFiles{Data: []string{writePairs(t, 600)}, Out: outFile(t)}
	for _, err := range Score(context.Background(), c, loadTokenizer(t, c.Model), f) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if got := names(t, f.Out+partsSuffix); !slices.Equal(got, []string{"000000000000.json", "job.json"}) {
		t.Errorf("the parts are %v, want the first window's", got)
	}
}
