package datasets

import "sync/atomic"

// Limits bound what a valid Parquet file may ask for: its reader holds a whole page, decompressed, in memory, and a few bytes may
// stand for a page, or for rows, of any size. Zero fields mean the defaults.
type Limits struct {
	PageBytes    int64 // of a page, decompressed; and sixteen times the number of its values
	RowGroupRows int64 // rows of a row group
}

// The limits that hold unless SetLimits says otherwise. Writers make pages of a MiB and row groups of a million rows at most.
const (
	DefaultPageBytes    = 256 << 20
	DefaultRowGroupRows = 1 << 24
)

var limits atomic.Pointer[Limits]

// SetLimits sets the limits of all files that are opened from then on, in the whole process.
func SetLimits(l Limits) { limits.Store(&l) }

func currentLimits() Limits {
	l := Limits{}
	if set := limits.Load(); set != nil {
		l = *set
	}
	if l.PageBytes <= 0 {
		l.PageBytes = DefaultPageBytes
	}
	if l.RowGroupRows <= 0 {
		l.RowGroupRows = DefaultRowGroupRows
	}
	return l
}
