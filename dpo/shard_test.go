package dpo

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dpo-ort/dpo-ort/datasets"
)

func TestWindowsGrowToTheLargest(t *testing.T) {
	var got []int64
	for at := int64(0); len(got) < 8; at += window(at) {
		got = append(got, window(at))
	}
	if want := []int64{16, 16, 32, 64, 128, 256, 256, 256}; !slices.Equal(got, want) {
		t.Errorf("windows of %v rows, want %v", got, want)
	}
}

// From wherever a job goes on, windows are those of one that was not stopped.
func TestWindowsGoOnAsTheyWere(t *testing.T) {
	table, err := datasets.OpenTable(writePairs(t, 700), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	s := span{tables: []*datasets.Table{table}, last: 690}
	type piece struct{ first, rows int64 }
	pieces := func(first int64) (out []piece) {
		for rows, err := range s.windows(first) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, piece{rows[0].Group.Row, int64(len(rows))})
		}
		return out
	}
	all := pieces(0)
	if last := all[len(all)-1]; len(all) != 7 || last != (piece{512, 178}) {
		t.Fatalf("windows %v", all)
	}
	for i, p := range all {
		if got := pieces(p.first); !slices.Equal(got, all[i:]) {
			t.Errorf("from row %d on windows are %v, want %v", p.first, got, all[i:])
		}
	}
}

// Shards of any number of rows follow each other from the first row to the last, and begin where windows do.
func TestShardsTileTheRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, of := rapid.Int64Range(0, 5000).Draw(t, "rows"), rapid.IntRange(1, 12).Draw(t, "shards")
		borders := map[int64]bool{}
		for at := int64(0); at <= total; at += window(at) {
			borders[at] = true
		}
		at := int64(0)
		for i := 1; i <= of; i++ {
			first, last := Shard{i, of}.rows(total)
			if first != at || last < first || !borders[first] && first != total {
				t.Fatalf("shard %d/%d of %d rows is [%d,%d), the one before ends at %d", i, of, total, first, last, at)
			}
			if even := total / int64(of); last-first > even+2*largestWindow {
				t.Fatalf("shard %d/%d of %d rows has %d", i, of, total, last-first)
			}
			at = last
		}
		if at != total {
			t.Fatalf("%d shards end at row %d of %d", of, at, total)
		}
	})
}

func TestParseShard(t *testing.T) {
	if s, err := ParseShard("2/4"); err != nil || s != (Shard{2, 4}) || s.String() != "2/4" {
		t.Errorf("%v, %v", s, err)
	}
	for _, bad := range []string{"", "2", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/2/3"} {
		var usage *UsageError
		if _, err := ParseShard(bad); !errors.As(err, &usage) {
			t.Errorf("shard %q: error %v", bad, err)
		}
	}
}

// liveHeap is what is reachable, in bytes.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Reading windows and keeping results holds no more after 40,000 rows than after 8,000.
func TestScoringHoldsNoRows(t *testing.T) {
	table, err := datasets.OpenTable(writePairs(t, 40_000), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	p, err := openParts[storedScores](t.TempDir()+"/out.parquet", job{}, false)
	if err != nil {
		t.Fatal(err)
	}
	s := span{tables: []*datasets.Table{table}, last: table.NumRows()}
	early := int64(0)
	for rows, err := range s.windows(0) {
		if err != nil {
			t.Fatal(err)
		}
		scores := make([]storedScores, len(rows))
		for i := range scores {
			scores[i] = storedScores{Policy: make([]float64, 2), Reference: make([]float64, 2), Tokens: make([]int64, 2)}
		}
		if err := p.add(scores); err != nil {
			t.Fatal(err)
		}
		if len(p.pending) > partRows {
			t.Fatalf("%d results are held, a part has %d", len(p.pending), partRows)
		}
		if early == 0 && p.next >= 8000 {
			early = liveHeap()
		}
	}
	if grown := liveHeap() - early; p.next != 40_000 || early == 0 || grown > 1<<20 {
		t.Errorf("after %d rows %d bytes more are held than after 8,000", p.next, grown)
	}
}
