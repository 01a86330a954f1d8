package emulator

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseTableRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no first":        {"first = 'a'\n", `first page "a"`},
		"unknown key":     {"first = 'a'\n[pages.a]\nget = '/'\nnext = { a = 1 }\nspeed = 3\n", "unknown key"},
		"unknown target":  {"first = 'a'\n[pages.a]\nget = '/'\nnext = { b = 1 }\n", `"b" is unknown`},
		"no way on":       {"first = 'a'\n[pages.a]\nget = '/'\n", "nothing follows"},
		"no way in":       {"first = 'a'\n[pages.a]\nget = '/'\nnext = { b = 1 }\n[pages.b]\nnext = { a = 1 }\n", "leads to it"},
		"zero weight":     {"first = 'a'\n[pages.a]\nget = '/'\nnext = { a = 0 }\n", "weight 0"},
		"nan weight":      {"first = 'a'\n[pages.a]\nget = '/'\nnext = { a = nan }\n", "weight NaN"},
		"bad pattern":     {"first = 'a'\n[pages.a]\nget = '/'\nlink = '('\nnext = { a = 1 }\n", "link"},
		"unknown name":    {"first = 'a'\n[pages.a]\nget = '/{x}'\nnext = { a = 1 }\n", "{x}"},
		"form and link":   {"first = 'a'\n[pages.a]\nget = '/'\nform = '/x'\nnext = { a = 1 }\n", "form"},
		"negative raise":  {"first = 'a'\n[pages.a]\nget = '/'\nraise = { n = -1 }\nnext = { a = 1 }\n", "negative"},
		"not a TOML file": {"first", "transition table"},
	} {
		if _, err := ParseTable(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

func TestChooseFollowsTheWeights(t *testing.T) {
	table, err := ParseTable("first = 'a'\n[pages.a]\nget = '/'\nnext = { a = 3, end = 1 }\n")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	ends := 0
	for range 10_000 {
		if table.Pages["a"].choose(rng) == end {
			ends++
		}
	}
	if ends < 2350 || ends > 2650 {
		t.Errorf("%d of 10000 ended, want a quarter", ends)
	}
}

func TestParseShape(t *testing.T) {
	for text, want := range map[string]Shape{
		"constant":               Constant(1),
		"constant:0.25":          Constant(0.25),
		"swing:0.2:1:90s":        Swing{Low: 0.2, High: 1, Period: 90 * time.Second},
		"steps:30s:0.5,1,0":      Steps{Levels: []float64{0.5, 1, 0}, Each: 30 * time.Second},
		"file:testdata/day.load": Piecewise{{0, 0.1}, {60 * time.Second, 1}, {90500 * time.Millisecond, 0.1}},
	} {
		got, err := ParseShape(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "wave", "constant:2", "constant:NaN", "swing:0:1", "swing:0:1:0s", "steps:1s:", "steps::1", "file:", "file:testdata/none"} {
		if shape, err := ParseShape(text); err == nil {
			t.Errorf("%q was read as %v", text, shape)
		}
	}
}

func TestShapesOverTime(t *testing.T) {
	swing := Swing{Low: 0.2, High: 1, Period: time.Minute}
	line := Piecewise{{0, 0}, {10 * time.Second, 1}, {20 * time.Second, 0.5}}
	for _, tc := range []struct {
		shape Shape
		since time.Duration
		want  float64
	}{
		{Constant(0.3), time.Hour, 0.3},
		{swing, 0, 0.2}, {swing, 30 * time.Second, 1}, {swing, 15 * time.Second, 0.6}, {swing, 60 * time.Second, 0.2},
		{line, 0, 0}, {line, 5 * time.Second, 0.5}, {line, 15 * time.Second, 0.75}, {line, 25 * time.Second, 0.5},
		{Piecewise{{0, 0.4}}, time.Hour, 0.4},
		{Steps{Levels: []float64{0.1, 0.9}, Each: time.Second}, 3500 * time.Millisecond, 0.9},
		{Steps{}, time.Second, 0}, {Piecewise{}, time.Second, 0}, {Swing{High: 1}, time.Second, 1},
	} {
		if got := tc.shape.At(tc.since); got < tc.want-1e-9 || got > tc.want+1e-9 {
			t.Errorf("%v at %v is %v, want %v", tc.shape, tc.since, got, tc.want)
		}
	}
}

func TestReadPiecewiseNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"":              "no points",
		"1 1":           "line 1: the first",
		"0 1\n\n# x\nx": "line 4: want",
		"0 1\n0 1":      "line 2: not later",
		"0 2":           "line 1: level",
		"0 1\nx 1":      "line 2: time",
	} {
		if _, err := ReadPiecewise(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestQuantilesAreExactToFivePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.SliceOfN(rapid.IntRange(100, 100_000_000), 1, 300).Draw(t, "latencies")
		var h histogram
		for _, n := range us {
			h.add(time.Duration(n) * time.Microsecond)
		}
		slices.Sort(us)
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			rank := max(1, int(q*float64(len(us))+0.999999999))
			exact := time.Duration(us[rank-1]) * time.Microsecond
			if got := h.quantile(q); float64(got) < float64(exact)*0.9999 || float64(got) > float64(exact)*1.0501 {
				t.Fatalf("quantile %v is %v, exactly %v", q, got, exact)
			}
		}
	})
}

func TestParseHTML(t *testing.T) {
	got := parseHTML(`<link rel="stylesheet" href="/style.css"><a href="http://elsewhere/">x</a><a class="button" href="/s?a=1&amp;b=2">y</a>
<img class="photo" src="/p.png" alt=""><img src="/p.png"><form class="card" method="post" action="/f"><input type="hidden" name="item" value="7">
<select name="c"><option value="1">a</option><option>b&amp;c</option></select><textarea name="t"></textarea><input type="submit"></form>`)
	want := document{
		links:  []string{"/s?a=1&b=2"},
		assets: []string{"/style.css", "/p.png"},
		forms:  map[string][]field{"/f": {{name: "item", value: "7"}, {name: "c", options: []string{"1", "b&c"}}, {name: "t"}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, field{})); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(auctionTable)
	f.Add("first = 'a'\n[pages.a]\nget = '/{item}'\nnext = { a = 1, back = 2, end = 3 }\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := ParseTable(text)
		if err != nil {
			return
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for _, page := range table.Pages {
			if target := page.choose(rng); table.Pages[target] == nil && target != back && target != end {
				t.Errorf("a checked table leads to %q", target)
			}
		}
	})
}

func FuzzReadPiecewise(f *testing.F) {
	f.Add("0 0.1\n60 1\n90.5 0.1\n", int64(time.Minute))
	f.Fuzz(func(t *testing.T, text string, since int64) {
		p, err := ReadPiecewise(strings.NewReader(text))
		if err != nil || since < 0 {
			return
		}
		if level := p.At(time.Duration(since)); !(level >= 0 && level <= 1) {
			t.Errorf("level %v at %d", level, since)
		}
	})
}

func FuzzParseHTML(f *testing.F) {
	f.Add(`<a href="/x">y</a><form method="post" action="/f"><select name="c"><option>1</option></select></form>`)
	f.Fuzz(func(t *testing.T, text string) {
		doc := parseHTML(text)
		if len(doc.links) > maxLinks || len(doc.assets) > maxAssets || len(doc.forms) > maxForms {
			t.Error("more than the bounds allow")
		}
	})
}
