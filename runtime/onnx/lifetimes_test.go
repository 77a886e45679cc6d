package onnx

import "testing"

// Memory passes from a value to the next of its shape once its last reader has run; views and softmax take none.
func TestLifetimes(t *testing.T) {
	T := Sym("T")
	x := func(b *Builder) *Value { return b.Op("Neg", []*Value{b.Input("x", Float32, T, Const(8))}, nil) }
	for name, test := range map[string]struct {
		graph func(b *Builder)
		want  int64 // values of [T,8]
	}{
		"a chain lives in two": {func(b *Builder) {
			b.Output("y", b.Op("Neg", []*Value{b.Op("Exp", []*Value{b.Op("Neg", []*Value{x(b)}, nil)}, nil)}, nil))
		}, 2},
		"softmax overwrites": {func(b *Builder) {
			b.Output("y", b.Op("Neg", []*Value{b.Op("Softmax", []*Value{x(b)}, Attrs{"axis": -1})}, nil))
		}, 1},
		"but not what is read again": {func(b *Builder) {
			v := x(b)
			b.Output("y", b.Op("Add", []*Value{v, b.Op("Softmax", []*Value{v}, Attrs{"axis": -1})}, nil))
		}, 2},
		"views share": {func(b *Builder) {
			b.Output("y", b.Op("Neg", []*Value{b.Op("Reshape", []*Value{x(b), b.Ints(-1)}, nil)}, nil))
		}, 1},
		"outputs are the caller's": {func(b *Builder) { b.Output("y", x(b)) }, 0},
	} {
		g, err := Build("g", test.graph)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Lifetimes().Peak(map[string]int64{"T": 100})
		if want := test.want * 100 * 8 * 4; err != nil || got != want {
			t.Errorf("%s: %d bytes (%v), want %d", name, got, err, want)
		}
	}
}

// The node that nothing reads and that comes last runs first, with what it needs.
func TestSequence(t *testing.T) {
	g, err := Build("g", func(b *Builder) {
		x := b.Input("x", Float32, Sym("T"))
		first := b.Op("Exp", []*Value{x}, nil)
		second := b.Op("Neg", []*Value{x}, nil)
		b.Output("a", b.Op("Neg", []*Value{first}, nil))
		b.Output("b", b.Op("Sqrt", []*Value{second}, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, n := range g.Sequence() {
		got += n.Op + " "
	}
	if want := "Neg Sqrt Exp Neg "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
