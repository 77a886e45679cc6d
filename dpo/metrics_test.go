package dpo

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields calls f for each field of a protobuf message: number, and its value as bytes or bits.
func fields(t *testing.T, message []byte, f func(number protowire.Number, value []byte, bits uint64)) {
	t.Helper()
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatalf("no protobuf: %v", protowire.ParseError(n))
		}
		message = message[n:]
		var value []byte
		var bits uint64
		var narrow uint32
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			narrow, n = protowire.ConsumeFixed32(message)
			bits = uint64(narrow)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(message)
		default:
			t.Fatalf("field %d has type %d", number, kind)
		}
		if n < 0 {
			t.Fatalf("field %d: %v", number, protowire.ParseError(n))
		}
		message = message[n:]
		f(number, value, bits)
	}
}

// loggedEvent is one of an event file: see the package tfevents.
type loggedEvent struct {
	wallTime float64
	step     int64
	scalars  map[string]float32
}

// loggedEvents reads an event file, but for its first event, which names the format.
func loggedEvents(t *testing.T, out string) (events []loggedEvent) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, "run", eventsName))
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		length := binary.LittleEndian.Uint64(data)
		message := data[12 : 12+length]
		data = data[16+length:]
		e := loggedEvent{scalars: map[string]float32{}}
		fields(t, message, func(number protowire.Number, value []byte, bits uint64) {
			switch number {
			case 1:
				e.wallTime = math.Float64frombits(bits)
			case 2:
				e.step = int64(bits)
			case 5:
				fields(t, value, func(_ protowire.Number, value []byte, _ uint64) {
					var tag string
					fields(t, value, func(number protowire.Number, value []byte, bits uint64) {
						if number == 1 {
							tag = string(value)
						} else {
							e.scalars[tag] = math.Float32frombits(uint32(bits))
						}
					})
				})
			}
		})
		events = append(events, e)
	}
	if len(events) == 0 || len(events[0].scalars) != 0 {
		t.Fatal("the event file does not begin with its format")
	}
	return events[1:]
}

// sameEvents holds a run's event file against its metrics.jsonl: every number, in its order, and times that do not fall.
func sameEvents(t *testing.T, out string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "run", metricsName))
	if err != nil {
		t.Fatal(err)
	}
	lines, events := bytes.Split(bytes.TrimSpace(text), []byte("\n")), loggedEvents(t, out)
	if len(lines) != len(events) {
		t.Fatalf("%d lines of metrics, %d events", len(lines), len(events))
	}
	last := 1.7e9
	for i, line := range lines {
		step, numbers, err := scalars(line)
		if err != nil {
			t.Fatal(err)
		}
		e := events[i]
		if e.step != step || len(e.scalars) != len(numbers) || e.wallTime < last {
			t.Errorf("event %d has step %d, %d scalars, time %v after %v; the line has step %d, %d scalars", i, e.step, len(e.scalars), e.wallTime, last, step, len(numbers))
		}
		for name, want := range numbers {
			if got, ok := e.scalars[name]; !ok || got != float32(want) {
				t.Errorf("step %d: %s is %v, its event has %v (%v)", step, name, want, got, ok)
			}
		}
		last = e.wallTime
	}
}

// Each line of metrics.jsonl is an event under the same names, of training and held-out data.
func TestEventsAreTheMetrics(t *testing.T) {
	c := tinyConfig(t)
	c.EvalData, c.EvalEvery = []string{writePairs(t, 5)}, 3
	mustTrain(t, c)
	sameEvents(t, c.Out)
	events := loggedEvents(t, c.Out)
	first, last := events[0], events[len(events)-1]
	for _, name := range []string{"eval_loss", "eval_rewards/margins", "eval_logps/chosen"} {
		if _, ok := first.scalars[name]; !ok || first.step != 0 || last.step != 6 {
			t.Errorf("steps %d to %d; the first event has no %s: %v", first.step, last.step, name, first.scalars)
		}
	}
	if _, ok := first.scalars["step"]; ok {
		t.Error("the step is a scalar too")
	}
	if events[1].scalars["loss"] != float32(math.Ln2) || events[1].scalars["learning_rate"] != 1e-3 {
		t.Errorf("the first step is %v", events[1].scalars)
	}
}

// A run that was killed some steps after a checkpoint loses the metrics of those steps when it goes on.
func TestResumeCutsMetricsBack(t *testing.T) {
	c := tinyConfig(t)
	c.SaveEvery = 2
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Metrics != nil && e.Metrics.Step == 5 {
			break
		}
	}
	if err := trainer.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(loggedEvents(t, c.Out)); n != 5 {
		t.Fatalf("%d events before the end, want 5", n)
	}
	if m, err := train(t, c, true, nil); err != nil || m[0].Step != 5 {
		t.Fatalf("went on with step %v, want 5 (%v)", m, err)
	}
	if n := lines(t, c.Out); n != 6 {
		t.Errorf("%d lines of metrics, want 6", n)
	}
	sameEvents(t, c.Out)
}
