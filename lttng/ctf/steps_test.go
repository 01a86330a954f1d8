package ctf

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Words of zeros and of what looks like them are where looking at eight bytes at once goes wrong.
func TestBehindZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 1, 0x7f, 0x80, 0x81, 0xff, 'a', 'a', 'a', 'a'}), 0, 100).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "long") {
			b = bytes.ReplaceAll(b, []byte{0}, []byte{0x80})
		}
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		want := bytes.IndexByte(b[at:], 0)
		if want >= 0 {
			want += at + 1
		}
		if got := behindZero(b, at); got != want {
			t.Fatalf("behind the first zero of %x from %d on is %d, not %d", b, at, want, got)
		}
	})
}

// What steps go over is what the programme that they are made from does.
func TestStepsAreTheProgramme(t *testing.T) {
	classes := openAll(t, "fields")[0].Metadata.Classes
	classes = append(classes, openAll(t, "boot")[0].Metadata.Classes...)
	quick := 0
	for _, class := range classes {
		if class.Stream.quick[class.ID].class == class {
			quick++
		}
	}
	if quick != len(classes) {
		t.Errorf("%d of %d event classes as LTTng-UST writes them have steps", quick, len(classes))
	}
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom(classes).Draw(t, "class")
		buf := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 0, 1, 2, 3, 0x10, 0xff}), 0, 400).Draw(t, "content")
		at := rapid.IntRange(0, len(buf)).Draw(t, "at")
		w := window{buf: buf, end: uint64(len(buf)) * 8, slots: make([]uint64, 1000), steps: 1 << 20}
		want, msg := w.skip(class.body, uint64(at)*8)
		q := class.Stream.quick[class.ID]
		got := at + int(q.size) - largeHeader
		ok := got <= len(buf)
		if q.steps != nil {
			got, ok = q.skip(buf, got)
		}
		if ok != (msg == "") || ok && uint64(got)*8 != want {
			t.Fatalf("event %s at byte %d of %x: the programme ends at bit %d (%q), the steps at byte %d (%t)", class.Name, at, buf, want, msg, got, ok)
		}
	})
}

func TestStopWhere(t *testing.T) {
	const event, prefix = "qemu:memory_region_ops_write", "virtio-pci-"
	tr := openAll(t, "boot")[0]
	plan, counts := tr.Metadata.NewTally(), make([]uint64, 1)
	for _, class := range tr.Metadata.Classes {
		if plan.Set(class, 0); class.Name == event {
			plan.StopWhere(class, "name", prefix)
		}
	}
	count := func(tally bool) (n, others int) {
		var ev Event
		for _, s := range tr.Streams {
			r := s.Reader()
			for r.NextPacket() {
				for at := false; ; {
					if tally {
						_, at = r.Tally(plan, 1<<62, counts)
					}
					if !at && !r.Next() {
						break
					}
					if err := r.Decode(&ev); err != nil {
						t.Fatal(err)
					}
					fits := r.Class.Name == event && slices.ContainsFunc(ev.Fields.Elems, func(v Value) bool { return v.Name == "name" && bytes.HasPrefix(v.Text, []byte(prefix)) })
					if fits {
						n++
					} else if at {
						others++
					}
				}
			}
			if err := r.Close(); err != nil || r.Err() != nil {
				t.Fatal(err, r.Err())
			}
		}
		return n, others
	}
	want, _ := count(false)
	if got, others := count(true); got != want || want == 0 || others != 0 {
		t.Errorf("of %d events that fit, it stops at %d, and at %d others", want, got, others)
	}
}
