package dpo

import (
	"flag"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
)

var (
	benchRows      = flag.String("rows", "", "benchmarks: file of pairs to read")
	benchTokenizer = flag.String("tokenizer", "", "benchmarks: model directory whose tokenizer reads them")
)

// BenchmarkReadRows reads and tokenizes the file that -rows names, on all cores and without the cache.
func BenchmarkReadRows(b *testing.B) {
	if *benchRows == "" || *benchTokenizer == "" {
		b.Skip("needs -rows FILE and -tokenizer DIR")
	}
	tok, err := tokenizer.Load(*benchTokenizer)
	if err != nil {
		b.Fatal(err)
	}
	defer tok.Close()
	encoder := &datasets.Encoder{Tokenizer: tok, MaxLength: 1024, KeepStart: true}
	for b.Loop() {
		if _, err := ReadRows([]string{*benchRows}, datasets.Options{}, encoder, tok.VocabSize(), ""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "read-s")
}
