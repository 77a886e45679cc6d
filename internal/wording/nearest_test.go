package wording

import "testing"

func TestSuggestNamesWhatWasMeant(t *testing.T) {
	settings := []string{"lr", "beta", "loss", "batch", "max-length", "max-prompt-length", "max-grad-norm", "eval-data", "eval-every"}
	losses := []string{"hinge", "ipo", "ipo_mean", "plackett_luce", "robust", "sigmoid"}
	for _, c := range []struct {
		written string
		known   []string
		want    string
	}{
		{"betta", settings, "beta"},
		{"bta", settings, "beta"},
		{"ebta", settings, "beta"}, // two letters swapped
		{"max_grad_norm", settings, "max-grad-norm"},
		{"max-lengh", settings, "max-length"},
		{"learning-rate", settings, "lr"},
		{"learning_rate", settings, "lr"},
		{"eval-dat", settings, "eval-data"},
		{"wsd", []string{"cosine", "warmup_stable_decay"}, "warmup_stable_decay"},
		{"hings", losses, "hinge"},
		{"Sigmoid", losses, "sigmoid"},
		{"ipo-mean", losses, "ipo_mean"},
		{"dpo", losses, ""}, // a letter from ipo, and another loss
		{"kto", losses, ""},
		{"", losses, ""},
		{"temperature", settings, ""},
		{"--", settings, ""},
	} {
		want := ""
		if c.want != "" {
			want = ": did you mean --" + c.want + "?"
		}
		if got := Suggest("--", c.written, c.known); got != want {
			t.Errorf("%q: suggests %q, want %q", c.written, got, want)
		}
	}
}

func TestEditsAreSymmetric(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got, back := edits(c.a, c.b), edits(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q and %q are %d and %d apart, want %d", c.a, c.b, got, back, c.want)
		}
	}
}
