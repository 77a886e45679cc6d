package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// The keys of a settings file and train's flags are the same names, so that what a run writes can be read again.
func TestSettingsAreFlags(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	bindTrain(flags, &dpo.Config{})
	var keys []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[dpo.Config]()) {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "-" && key != "plan" { // what changes no number is not kept; the plan is the run's own
			keys = append(keys, key)
		}
	}
	names := flagNames(flags)
	slices.Sort(keys)
	slices.Sort(names)
	if !slices.Equal(keys, names) {
		t.Errorf("keys %v, flags %v", keys, names)
	}
}

func TestAnEmptySettingsFileChangesNothing(t *testing.T) {
	want, err := dpo.NewConfig("paper")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "# nothing\n"} {
		file := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got := want
		if err := readSettings(file, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, settings %+v", text, err, got)
		}
	}
}
