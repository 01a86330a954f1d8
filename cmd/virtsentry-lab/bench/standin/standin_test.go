package standin

import (
	"bufio"
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// What is written of a unit is read back by the form of its line.
func TestVerdictLine(t *testing.T) {
	start := time.Now().Add(-3 * time.Second)
	var out bytes.Buffer
	w := &lineWriter{w: bufio.NewWriter(&out)}
	w.unit(control.UnitReport{Domain: "u-1", Start: start, Duration: 1.5, Lost: 3, Judged: true})
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	var v Verdict
	if _, err := fmt.Sscanf(out.String(), Form, &v.UUID, &v.Start, &v.Duration, &v.Lost, &v.Judged, &v.After); err != nil {
		t.Fatal(err)
	}
	if v.UUID != "u-1" || v.Start != start.UnixNano() || v.Duration != 15e8 || v.Lost != 3 || !v.Judged || v.After < 1500*time.Millisecond {
		t.Errorf("verdict %+v", v)
	}
}
