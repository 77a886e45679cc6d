package onnx

import (
	"testing"

	"pgregory.net/rapid"
)

func drawDim(t *rapid.T, label string) Dim {
	d := Const(rapid.Int64Range(-3, 9).Draw(t, label))
	for range rapid.IntRange(0, 3).Draw(t, label+" terms") {
		product := Const(rapid.Int64Range(-4, 4).Draw(t, label+" factor"))
		for range rapid.IntRange(1, 3).Draw(t, label+" symbols") {
			product = product.Mul(Sym(rapid.SampledFrom([]string{"G", "K", "P", "C"}).Draw(t, label)))
		}
		d = d.Add(product)
	}
	return d
}

// Sizes compute as the numbers they stand for, and their text reads back as themselves.
func TestDimComputesLikeNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDim(t, "a"), drawDim(t, "b")
		sizes := map[string]int64{}
		for _, s := range []string{"G", "K", "P", "C"} {
			sizes[s] = rapid.Int64Range(1, 7).Draw(t, s)
		}
		value := func(d Dim) int64 {
			n, err := d.Eval(sizes)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		x, y := value(a), value(b)
		if value(a.Add(b)) != x+y || value(a.Sub(b)) != x-y || value(a.Mul(b)) != x*y {
			t.Fatalf("%s and %s (%d and %d): sum %s, difference %s, product %s", a, b, x, y, a.Add(b), a.Sub(b), a.Mul(b))
		}
		if q, ok := a.Mul(b).Div(b); ok && y != 0 && value(q) != x {
			t.Fatalf("(%s)·(%s)/(%s) is %s", a, b, b, q)
		}
		if back := ParseDim(a.String()); !back.Equal(a) {
			t.Fatalf("%s reads back as %s", a, back)
		}
	})
}

func TestHalfPrecisionRounds(t *testing.T) {
	for x, want := range map[float64]uint16{1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 65520: 0x7c00, 6e-8: 1, 1.0009765625: 0x3c01, 1.00048828125: 0x3c00} {
		if got := float16bits(x); got != want {
			t.Errorf("%v is %#x in half precision, want %#x", x, got, want)
		}
	}
}
