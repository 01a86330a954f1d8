package monitor

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// A profile that is too large for a domain's metadata goes with fewer support vectors, and, where the units that it was learnt from are not kept, without
// its last views. What came of it is kept.
func TestPackLarge(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d := model.Dataset{}
	for j := range 140 {
		d.Features = append(d.Features, fmt.Sprintf("f%d", j))
	}
	for i := range 160 {
		row := model.Row{Start: int64(i) * int64(model.Width), Values: make([]float64, len(d.Features))}
		for j := range row.Values {
			row.Values[j] = float64(random.IntN(4 + 2*(j%5)))
		}
		d.Rows = append(d.Rows, row)
	}
	p, err := model.Train(libsvm.Engine{}, d, model.Options{
		Domain: model.Domain{UUID: "6695eb01-f6a4-8304-79aa-97f2502e193f", Name: "test"}, Created: time.Now().UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := packProfile(p); err == nil {
		t.Fatal("the profile is small enough as it is")
	}
	for name, units := range map[string][]model.Row{"with its units": d.Rows, "without them": nil} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			m := New(cfg, testSet, libsvm.Engine{}, silent())
			if units != nil {
				err = keepProfile(m.store, p, units)
			} else {
				err = m.store.Save(p)
			}
			if err != nil {
				t.Fatal(err)
			}
			small, err := m.pack(publication{p, config.Default().Judging}, silent())
			if err != nil {
				t.Fatal(err)
			}
			got, err := model.Decode(bytes.NewReader(small.file))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Created.Equal(p.Created) || got.Training.Units != p.Training.Units || got.Domain != p.Domain {
				t.Errorf("packed %+v, %+v; want those of the profile", got.Domain, got.Training)
			}
			if len(got.Views) > len(p.Views) || units != nil && len(got.Views) < len(p.Views)-1 || got.SupportVectors() >= p.SupportVectors() {
				t.Errorf("%d of %d views, %d of %d support vectors", len(got.Views), len(p.Views), got.SupportVectors(), p.SupportVectors())
			}
			m.engine = nil // what was packed once is not learnt again
			again, err := m.pack(publication{p, config.Default().Judging}, silent())
			if err != nil || !bytes.Equal(again.content, small.content) || !bytes.Equal(again.file, small.file) {
				t.Errorf("packed again: %v, %d bytes; want %d", err, len(again.content), len(small.content))
			}
		})
	}
}
