package main

import (
	"errors"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// bindLimits declares what bounds the Parquet files that a verb reads. The limits are the process's: whatever it opens is held to them.
func bindLimits(f *pflag.FlagSet) {
	var l datasets.Limits
	f.Func("max-page-bytes", "most bytes of a page of Parquet, decompressed, such as 1GiB (default 256MiB)", func(text string) error {
		n, err := humanize.ParseBytes(text)
		if err != nil || n == 0 || n > math.MaxInt32 {
			return errors.New("a size from 1 byte to 2GiB is needed, such as 512MiB")
		}
		l.PageBytes = int64(n)
		datasets.SetLimits(l)
		return nil
	})
	f.Func("max-row-group-rows", "most rows of a row group of Parquet (default 16777216)", func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return errors.New("a number of rows from 1 on is needed")
		}
		l.RowGroupRows = n
		datasets.SetLimits(l)
		return nil
	})
}
