package catalogue

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBuckets(t *testing.T) {
	b := Buckets{Unit: unitBytes, PerOctave: 8, Min: 32, Max: 65536}
	type row struct {
		Index        int
		Label, Words string
	}
	tests := []struct {
		v    uint64
		want row
	}{
		{0, row{0, "<32", "less than 32 bytes"}},
		{31, row{0, "<32", "less than 32 bytes"}},
		{32, row{1, "=32-35", "32 to 35 bytes"}},
		{60, row{8, "=60-63", "60 to 63 bytes"}},
		{63, row{8, "=60-63", "60 to 63 bytes"}},
		{64, row{9, "=64-71", "64 to 71 bytes"}},
		{80, row{11, "=80-87", "80 to 87 bytes"}},
		{1514, row{44, "=1408-1535", "1,408 to 1,535 bytes"}},
		{65535, row{88, "=61440-65535", "61,440 to 65,535 bytes"}},
		{65536, row{89, ">=65536", "65,536 bytes and more"}},
		{math.MaxUint64, row{89, ">=65536", "65,536 bytes and more"}},
	}
	for _, tt := range tests {
		i := b.Index(tt.v)
		if diff := cmp.Diff(tt.want, row{i, b.Label(i), b.Words(i)}); diff != "" {
			t.Errorf("%d (-want +got):\n%s", tt.v, diff)
		}
	}
	if b.Count() != 90 {
		t.Errorf("%d buckets, want 90", b.Count())
	}
}

func TestBucketWords(t *testing.T) {
	tests := []struct {
		b    Buckets
		v    uint64
		want string
	}{
		{Buckets{Unit: unitSectors, PerOctave: 8, Min: 8, Max: 64}, 9, "9 sectors"},
		{Buckets{PerOctave: 1, Min: 1, Max: 4096}, 2000, "1,024 to 2,047"},
		{Buckets{Unit: unitNS, PerOctave: 2, Min: 512, Max: 1 << 30}, 600, "512 ns to 768 ns"},
		{Buckets{Unit: unitNS, PerOctave: 2, Min: 512, Max: 1 << 30}, 0, "less than 512 ns"},
		{Buckets{Unit: unitNS, PerOctave: 2, Min: 512, Max: 1 << 30}, 1 << 20, "1.05 ms to 1.57 ms"},
		{Buckets{Unit: unitNS, PerOctave: 2, Min: 512, Max: 1 << 30}, 1 << 40, "1.07 s and more"},
	}
	for _, tt := range tests {
		if got := tt.b.Words(tt.b.Index(tt.v)); got != tt.want {
			t.Errorf("%d: %q, want %q", tt.v, got, tt.want)
		}
	}
}

// Buckets tile the integers in order, a value is in its own one, and none between Min and Max is wider than its part of an octave.
func TestBucketsTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.IntRange(0, 6).Draw(t, "parts")
		low := rapid.IntRange(part, 62).Draw(t, "min")
		b := Buckets{PerOctave: 1 << part, Min: 1 << low, Max: 1 << rapid.IntRange(low+1, 63).Draw(t, "max")}
		next := uint64(0)
		for i := range b.Count() {
			lo, hi := b.Range(i)
			if lo != next || hi < lo || b.Index(lo) != i || b.Index(hi) != i {
				t.Fatalf("bucket %d is %d to %d, of indices %d and %d, after %d", i, lo, hi, b.Index(lo), b.Index(hi), next)
			}
			if i > 0 && i < b.Count()-1 && (hi-lo+1)*b.PerOctave > lo {
				t.Fatalf("bucket %d is %d to %d", i, lo, hi)
			}
			next = hi + 1
		}
		if next != 0 {
			t.Fatalf("the last bucket ends at %d", next-1)
		}
		v := rapid.Uint64().Draw(t, "value")
		if lo, hi := b.Range(b.Index(v)); v < lo || v > hi {
			t.Fatalf("%d is not within %d to %d", v, lo, hi)
		}
	})
}
