package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type timelines struct{}

func (timelines) Timeline(ref string) (Timeline, error) {
	if ref != web.UUID {
		return Timeline{}, fmt.Errorf("%s: %w", ref, ErrNoDomain)
	}
	return Timeline{UUID: ref, Level: 0.002, Units: Track{Step: 2, States: []string{"normal"}, State: []int{0}}}, nil
}

func (timelines) Ribbons() map[string]Ribbon {
	return map[string]Ribbon{web.UUID: {States: "na", Unusual: "19"}}
}

func (timelines) Counts(_ string, span CountsSpan) (Counts, error) {
	return Counts{Total: span.Columns}, nil
}

func TestTimelines(t *testing.T) {
	_, client, end := serve(t)
	defer end()
	ctx := context.Background()
	all, err := client.Ribbons(ctx)
	if diff := cmp.Diff(timelines{}.Ribbons(), all); err != nil || diff != "" {
		t.Errorf("Ribbons: %v %s", err, diff)
	}
	got, err := client.Timeline(ctx, web.UUID)
	if err != nil || got.UUID != web.UUID || len(got.Units.State) != 1 {
		t.Errorf("Timeline = %+v, %v", got, err)
	}
	if _, err := client.Timeline(ctx, "nobody"); !errors.Is(err, ErrNoDomain) {
		t.Errorf("Timeline of nobody = %v", err)
	}
	var c Counts
	if err := client.do(ctx, http.MethodGet, domainPath(web.UUID)+"/counts?columns=7", nil, &c); err != nil || c.Total != 7 {
		t.Errorf("Counts = %+v, %v", c, err)
	}
	if err := client.do(ctx, http.MethodGet, domainPath(web.UUID)+"/counts?columns=seven", nil, &c); !errors.Is(err, ErrRefused) {
		t.Errorf("Counts in seven columns = %v", err)
	}
}

func TestParseCountsSpan(t *testing.T) {
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for query, want := range map[string]CountsSpan{
		"":                          {Columns: MostColumns},
		"columns=5":                 {Columns: 5},
		"from=2026-05-04T12:00:00Z": {From: noon, Columns: MostColumns},
		"to=2026-05-04T12:00:00Z":   {To: noon, Columns: MostColumns},
		"columns=-1":                {},
		"columns=241":               {},
		"columns=1&columns=2":       {},
		"colour=red":                {},
		"from=now":                  {},
		"from=2026-05-04T12:00:00Z&to=2026-05-04T12:00:00Z": {},
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseCountsSpan(q)
		if refused := want == (CountsSpan{}); refused != errors.Is(err, ErrRefused) || !refused && got != want {
			t.Errorf("%q: %+v, %v", query, got, err)
		}
	}
}

// Whatever an address says, there is a span that can be used, or an error.
func FuzzCountsSpan(f *testing.F) {
	f.Add("from=2026-05-04T12:00:00Z&columns=5")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if span, err := ParseCountsSpan(q); err == nil && span.Check() != nil {
			t.Errorf("%q is taken, though %v", query, span.Check())
		}
	})
}
