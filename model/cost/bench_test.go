package cost

import "testing"

func BenchmarkFit(b *testing.B) {
	o := world(3, 6, 0.003)
	for b.Loop() {
		if _, err := Fit(testScheme(), o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	c, err := Fit(testScheme(), world(3, 6, 0.003))
	if err != nil {
		b.Fatal(err)
	}
	rates := Rates{"probe:disk": 1e4, "probe:net": 1e4, "syscall": 1e4}
	for b.Loop() {
		if _, err := c.Predict(rates, []string{"syscalls", "all"}, "ust"); err != nil {
			b.Fatal(err)
		}
	}
}
