package dpo

import (
	"iter"
	"strconv"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Rows are scored together in windows: enough to fill micro-batches of near lengths, few to hold. The first is small, so
// that a user soon sees rows scored; windows grow to the largest, from which on all are equal. Where one begins and ends
// is a function of the row's number in the whole data, so that neither shards nor a restart change what is scored together.
const (
	firstWindow   = 16
	largestWindow = 256
)

// window is how many rows the window that begins at a row has: 16, 16, 32, 64, 128, 256, 256, …
func window(at int64) int64 { return min(max(at, firstWindow), largestWindow) }

// border is the last row, up to the one given, that a window begins at.
func border(row int64) int64 {
	if row >= largestWindow {
		return row / largestWindow * largestWindow
	}
	at := int64(0)
	for at+window(at) <= row {
		at += window(at)
	}
	return at
}

// Shard is one of Of contiguous ranges of rows, by their number alone; the zero Shard is all rows. Ranges begin where
// windows do, so that the outputs of all shards, one after the other, hold what a single job would: of few rows some
// shards hold none.
type Shard struct{ Index, Of int } // Index from 1

// ParseShard reads "i/n", with i from 1 to n.
func ParseShard(text string) (Shard, error) {
	i, n, found := strings.Cut(text, "/")
	index, err1 := strconv.Atoi(i)
	of, err2 := strconv.Atoi(n)
	if !found || err1 != nil || err2 != nil || index < 1 || index > of {
		return Shard{}, Usage("shard must be i/n with i from 1 to n, such as 2/4, it is %q", text)
	}
	return Shard{index, of}, nil
}

func (s Shard) String() string {
	if s == (Shard{}) {
		return ""
	}
	return strconv.Itoa(s.Index) + "/" + strconv.Itoa(s.Of)
}

// rows is the range [first, last) of a shard among all rows.
func (s Shard) rows(total int64) (first, last int64) {
	if s.Of == 0 {
		return 0, total
	}
	first, last = border(total*int64(s.Index-1)/int64(s.Of)), total
	if s.Index < s.Of {
		last = border(total * int64(s.Index) / int64(s.Of))
	}
	return first, last
}

// span is a range of the rows of tables that follow each other.
type span struct {
	tables      []*datasets.Table
	first, last int64 // [first, last)
}

// rows streams the span's rows from one on.
func (s span) rows(first int64) iter.Seq2[datasets.Row, error] {
	return func(yield func(datasets.Row, error) bool) {
		start := int64(0)
		for _, t := range s.tables {
			end := start + t.NumRows()
			if end > first && start < s.last && !s.rowsOf(t, start, first, yield) {
				return
			}
			start = end
		}
	}
}

// rowsOf yields the rows of a table that starts at row start, and reports whether the next table's are wanted.
func (s span) rowsOf(t *datasets.Table, start, first int64, yield func(datasets.Row, error) bool) bool {
	for row, err := range t.Rows(max(first-start, 0)) {
		if err == nil && start+row.Group.Row >= s.last {
			return false
		}
		if !yield(row, err) || err != nil {
			return false
		}
	}
	return true
}

// windows cuts the rows from a window's first on into windows.
func (s span) windows(first int64) iter.Seq2[[]datasets.Row, error] { return s.cut(first, window) }

// cut gives the rows from one on together, as many as size says of those that begin at a row.
func (s span) cut(first int64, size func(at int64) int64) iter.Seq2[[]datasets.Row, error] {
	return func(yield func([]datasets.Row, error) bool) {
		var rows []datasets.Row
		at := first
		for row, err := range s.rows(first) {
			if err != nil {
				yield(nil, err)
				return
			}
			if rows = append(rows, row); int64(len(rows)) == size(at) {
				if !yield(rows, nil) {
					return
				}
				at += int64(len(rows))
				rows = nil
			}
		}
		if len(rows) > 0 {
			yield(rows, nil)
		}
	}
}

// place tells the file of a row, and its number there.
func (s span) place(row int64) (file string, at int64) {
	for _, t := range s.tables {
		if row < t.NumRows() {
			return t.File, row
		}
		row -= t.NumRows()
	}
	return "", row
}
