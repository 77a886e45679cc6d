package dpo

import (
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// numbers counts to n, with errors in the places given.
func numbers(n int, bad map[int]error, fed *atomic.Int64) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			fed.Add(1)
			if !yield(i, bad[i]) {
				return
			}
		}
	}
}

func delayed(i int) int {
	time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
	return i * i
}

// However long each item takes, results and errors come in the order of the items.
func TestInOrder(t *testing.T) {
	bad := errors.New("bad")
	const ahead = 16
	for _, workers := range []int{1, 2, 8} {
		var fed atomic.Int64
		var got []int
		next := 0
		for v, err := range inOrder(numbers(1000, map[int]error{3: bad, 500: bad}, &fed), workers, ahead, delayed) {
			if (next == 3 || next == 500) != errors.Is(err, bad) {
				t.Fatalf("%d workers: item %d has error %v", workers, next, err)
			}
			if err == nil {
				got = append(got, v)
			}
			next++
		}
		if next != 1000 || !slices.IsSorted(got) || len(got) != 998 || got[3] != 16 {
			t.Errorf("%d workers: %d items, %d results, sorted %v", workers, next, len(got), slices.IsSorted(got))
		}
	}
}

// While the loop dwells on the first result no more is read than the window holds; once it is left nothing runs.
func TestInOrderIsBoundedAndStops(t *testing.T) {
	const workers, ahead = 2, 16
	var fed, running atomic.Int64
	work := func(i int) int {
		running.Add(1)
		defer running.Add(-1)
		return delayed(i)
	}
	for range inOrder(numbers(1<<20, nil, &fed), workers, ahead, work) {
		time.Sleep(50 * time.Millisecond)
		break
	}
	if n := fed.Load(); n < workers || n > (ahead+1)*workers+2 {
		t.Errorf("%d items read ahead; at most %d may be", n, (ahead+1)*workers+2)
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d workers run after the loop", n)
	}
}
