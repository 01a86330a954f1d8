package libvirt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"
	"pgregory.net/rapid"
)

// policyText is the element as an operator may write it.
func policyText(p Policy) string {
	var b strings.Builder
	attribute := func(name string, value any) { fmt.Fprintf(&b, " %s=\"%v\"", name, value) }
	real := func(name string, v *float64) {
		if v != nil {
			attribute(name, strconv.FormatFloat(*v, 'g', -1, 64))
		}
	}
	whole := func(name string, v *int) {
		if v != nil {
			attribute(name, *v)
		}
	}
	b.WriteString("<policy")
	if p.Watch != nil {
		attribute("watch", map[bool]string{true: "yes", false: "no"}[*p.Watch])
	}
	real("false-alarms-per-day", p.FalseAlarmsPerDay)
	real("overhead-percent", p.OverheadPercent)
	if p.GuestSyscalls != nil {
		attribute("guest-syscalls", map[bool]string{true: "yes", false: "no"}[*p.GuestSyscalls])
	}
	b.WriteString(">\n <judging")
	real("nu", p.Nu)
	real("gamma", p.Gamma)
	real("level", p.Level)
	whole("window", p.Window)
	whole("alarm", p.Alarm)
	whole("quiet-units", p.QuietUnits)
	b.WriteString("/>\n")
	if p.Units != nil || p.Starting != nil {
		b.WriteString(" <learning")
		whole("units", p.Units)
		if p.Starting != nil {
			attribute("starting", fmt.Sprintf("%d.%03ds", *p.Starting/time.Second, *p.Starting%time.Second/time.Millisecond))
		}
		b.WriteString("></learning><!-- a comment -->\n")
	}
	b.WriteString("</policy>")
	return b.String()
}

func TestPolicyRoundTrip(t *testing.T) {
	below := func(high float64) *rapid.Generator[*float64] {
		return rapid.Ptr(rapid.Float64Range(1e-300, high*(1-1e-9)), true)
	}
	var texts []string
	rapid.Check(t, func(t *rapid.T) {
		want := Policy{
			Watch:             rapid.Ptr(rapid.Bool(), true).Draw(t, "watch"),
			GuestSyscalls:     rapid.Ptr(rapid.Bool(), true).Draw(t, "guest-syscalls"),
			FalseAlarmsPerDay: below(43200).Draw(t, "false alarms"),
			OverheadPercent:   below(100).Draw(t, "overhead"),
			Units:             rapid.Ptr(rapid.IntRange(30, 43200), true).Draw(t, "units"),
			Starting: rapid.Ptr(rapid.Map(rapid.IntRange(0, 86400000), func(ms int) time.Duration {
				return time.Duration(ms) * time.Millisecond
			}), true).Draw(t, "starting"),
			Nu:         below(1).Draw(t, "nu"),
			Gamma:      below(1e9).Draw(t, "gamma"),
			Level:      below(1).Draw(t, "level"),
			Window:     rapid.Ptr(rapid.IntRange(1, 64), true).Draw(t, "window"),
			Alarm:      rapid.Ptr(rapid.IntRange(1, 64), true).Draw(t, "alarm"),
			QuietUnits: rapid.Ptr(rapid.IntRange(1, 43200), true).Draw(t, "quiet"),
		}
		plain := policyText(want)
		for _, text := range []string{plain, inNamespace(strings.ReplaceAll(plain, "<!-- a comment -->", ""), "policy")} {
			got, err := ParsePolicy(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", text, diff)
			}
		}
		texts = append(texts, plain)
	})
	for i, err := range valid(t, "policy-1.rng", texts...) {
		if err != nil {
			t.Errorf("%s: %v", texts[i], err)
		}
	}
}

// The schema and the parser refuse the same elements.
func TestPolicyRefused(t *testing.T) {
	tests := []struct{ text, complaint string }{
		{`<policy watch="maybe"/>`, `policy: watch: "maybe" is neither yes nor no`},
		{`<policy watch=""/>`, "neither yes nor no"},
		{`<policy wach="no"/>`, `policy: attribute "wach" is not known`},
		{`<policy xmlns:x="http://example.org" x:watch="no"/>`, `attribute "watch" is not known`},
		{`<policy false-alarms-per-day="0"/>`, "no number above 0 and up to 43200"},
		{`<policy false-alarms-per-day="-1"/>`, "no number above 0"},
		{`<policy false-alarms-per-day="43201"/>`, "no number above 0"},
		{`<policy false-alarms-per-day="NaN"/>`, "no number above 0"},
		{`<policy false-alarms-per-day="0x1p3"/>`, "no number above 0"},
		{`<policy false-alarms-per-day="1,5"/>`, "no number above 0"},
		{`<policy false-alarms-per-day=""/>`, "no number above 0"},
		{`<policy guest-syscalls="sometimes"/>`, "neither yes nor no"},
		{`<policy overhead-percent="101"/>`, "no number above 0 and up to 100"},
		{`<policy overhead-percent="INF"/>`, "no number above 0 and up to 100"},
		{`<policy><learning units="29"/></policy>`, `policy/learning: units: "29" is no whole number from 30 to 43200`},
		{`<policy><learning units="43201"/></policy>`, "no whole number"},
		{`<policy><learning units="30.5"/></policy>`, "no whole number"},
		{`<policy><learning units="3e2"/></policy>`, "no whole number"},
		{`<policy><learning starting="soon"/></policy>`, "no duration"},
		{`<policy><learning starting="-5s"/></policy>`, "no duration"},
		{`<policy><learning starting="5ms"/></policy>`, "no duration"},
		{`<policy><learning starting="90"/></policy>`, "no duration"},
		{`<policy><learning watch="no"/></policy>`, `policy/learning: attribute "watch" is not known`},
		{`<policy><judging nu="1"/></policy>`, "no number between 0 and 1"},
		{`<policy><judging level="1.5"/></policy>`, "no number between 0 and 1"},
		{`<policy><judging gamma="1e10"/></policy>`, "no number above 0 and up to 1e+09"},
		{`<policy><judging window="65"/></policy>`, "no whole number from 1 to 64"},
		{`<policy><judging window="0"/></policy>`, "no whole number from 1 to 64"},
		{`<policy><judging alarm="-3"/></policy>`, "no whole number from 1 to 64"},
		{`<policy><judging quiet_units="3"/></policy>`, `"quiet_units" is not known`},
		{`<policy><judging/><judging/></policy>`, `element "judging" is not expected here`},
		{`<policy><judging><judging/></judging></policy>`, `element "policy/judging/judging" is not known`},
		{`<policy><secrets/></policy>`, `element "policy/secrets" is not known`},
		{`<policy><judging xmlns="http://virtsentry.org/xmlns/state/1"/></policy>`, `element "judging" is not expected here`},
		{`<policy xmlns="http://virtsentry.org/xmlns/policy/2"/>`, `element "policy" is not expected here`},
		{`<politics/>`, `element "politics" is not known`},
		{`<policy>no</policy>`, `text "no" is not expected here`},
		{`<policy watch="no"`, "XML syntax error"},
		{`<policy watch="no" watch="yes"/>`, `"watch" is not known, or there twice`},
		{`<policy/><policy/>`, "not expected here"},
		{``, "no element"},
	}
	var documents []string
	for _, test := range tests {
		documents = append(documents, test.text)
		_, err := ParsePolicy(test.text)
		if !errors.Is(err, ErrGarbled) || !strings.Contains(err.Error(), test.complaint) {
			t.Errorf("%s: %v; want a complaint with %s", test.text, err, test.complaint)
		}
	}
	for i, err := range valid(t, "policy-1.rng", documents...) {
		if err == nil {
			t.Errorf("the schema accepts %s", documents[i])
		}
	}
	for _, text := range []string{
		`<!DOCTYPE policy [<!ENTITY a "no">]><policy watch="&a;"/>`,
		`<policy>` + strings.Repeat(" ", maxPolicy) + `</policy>`,
	} {
		if _, err := ParsePolicy(text); !errors.Is(err, ErrGarbled) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

// Both accept the same, too.
func TestPolicyAccepted(t *testing.T) {
	documents := []string{
		`<policy/>`, `<policy></policy>`, "<policy watch=' yes\n'/>", `<policy><judging nu=" +5e-2 " gamma=".5"/><learning units="0090" starting="1h2m3.5s"/></policy>`,
		`<policy><learning starting="0"/></policy>`, `<policy xmlns="http://virtsentry.org/xmlns/policy/1"><judging alarm="64" window="64"/></policy>`,
		`<policy guest-syscalls="no"/>`, `<policy overhead-percent="100" false-alarms-per-day="43200"><judging gamma="1e9"/></policy>`,
		`<?xml version="1.0"?><!-- a --><policy><!-- b --></policy>`,
	}
	for i, err := range valid(t, "policy-1.rng", documents...) {
		if err != nil {
			t.Errorf("%s: %v", documents[i], err)
		}
		if _, err := ParsePolicy(documents[i]); err != nil {
			t.Errorf("%s: %v", documents[i], err)
		}
	}
}

func setPolicy(text string, definition golibvirt.DomainModificationImpact) func(*golibvirt.Domain) error {
	return func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, text, prefix, PolicyURI, definition)
	}
}

// without takes an element away at the end of a test: the test driver's domain is the same for all of a process.
func without(t *testing.T, c *Connection, d Domain, uri string) {
	t.Cleanup(func() {
		for _, definition := range []golibvirt.DomainModificationImpact{golibvirt.DOMAIN_AFFECT_LIVE, golibvirt.DOMAIN_AFFECT_CONFIG} {
			err := c.with(d.UUID, func(d *golibvirt.Domain) error {
				return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", "", uri, definition)
			})
			if err != nil && !isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
				t.Error(err)
			}
		}
	})
}

func TestPolicy(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	without(t, c, d, PolicyURI)
	if p, err := c.Policy(d.UUID); p != nil || err != nil {
		t.Errorf("Policy before any = %+v, %v", p, err)
	}
	if p, err := c.Policy("00000000-0000-0000-0000-000000000001"); p != nil || !errors.Is(err, ErrNoDomain) {
		t.Errorf("Policy of no domain = %+v, %v", p, err)
	}
	example, err := os.ReadFile(filepath.Join(schemas, "examples", "policy-1.xml"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(text string, definition golibvirt.DomainModificationImpact) {
		t.Helper()
		if err := c.with(d.UUID, setPolicy(text, definition)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Event{Kind: PolicyChanged, Domain: d}, next(t, c)); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	}
	change(string(example), golibvirt.DOMAIN_AFFECT_CONFIG)
	change(`<policy watch="no"/>`, golibvirt.DOMAIN_AFFECT_LIVE) // counts only where there is no other definition
	ptr := func(v int) *int { return &v }
	yes, alarms, overhead, starting, nu := true, 0.5, 5.0, 90*time.Second, 0.05
	want := &Policy{
		Watch: &yes, FalseAlarmsPerDay: &alarms, OverheadPercent: &overhead, Units: ptr(900), Starting: &starting,
		Nu: &nu, Window: ptr(5), Alarm: ptr(3), QuietUnits: ptr(15),
	}
	got, err := c.Policy(d.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Policy (-want +got):\n%s", diff)
	}
	change(`<policy><judging nu="2"/></policy>`, golibvirt.DOMAIN_AFFECT_CONFIG)
	if _, err := c.Policy(d.UUID); !errors.Is(err, ErrGarbled) || !strings.Contains(err.Error(), d.UUID) || !strings.Contains(err.Error(), "nu") {
		t.Errorf("Policy = %v; want an error that names the domain and the attribute", err)
	}
}

func TestPolicyOfTransientDomain(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	without(t, c, d, PolicyURI)
	if err := c.with(d.UUID, func(d *golibvirt.Domain) error { return d.Undefine() }); err != nil {
		t.Fatal(err)
	}
	if err := c.with(d.UUID, setPolicy(`<policy watch="no"/>`, golibvirt.DOMAIN_AFFECT_LIVE)); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Policy(d.UUID); err != nil || p == nil || p.Watch == nil || *p.Watch {
		t.Errorf("Policy = %+v, %v", p, err)
	}
	// Once it is persistent, the persistent definition counts, which has the policy that was given with it.
	var dump string
	err := c.with(d.UUID, func(d *golibvirt.Domain) (err error) {
		dump, err = d.GetXMLDesc(0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := next(t, c); e.Kind != Undefined {
		t.Errorf("event %+v; want that it is undefined", e)
	}
	next(t, c) // of the policy
	redefine(t, c, strings.Replace(dump, `watch="no"`, `watch="yes"`, 1))
	if diff := cmp.Diff(Event{Kind: Defined, Domain: d, Detail: "updated"}, next(t, c)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if p, err := c.Policy(d.UUID); err != nil || p == nil || p.Watch == nil || !*p.Watch {
		t.Errorf("Policy = %+v, %v", p, err)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(policyText(Policy{}))
	f.Add(`<virtsentry:policy xmlns:virtsentry="http://virtsentry.org/xmlns/policy/1" watch="no"><virtsentry:learning units="900" starting="90s"/></virtsentry:policy>`)
	f.Add(`<policy><judging nu="0.05" gamma="1e-3" level=".1" window="5" alarm="3" quiet-units="15"/></policy>`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(text)
		if err != nil {
			if !errors.Is(err, ErrGarbled) {
				t.Fatal(err)
			}
			return
		}
		for _, v := range []*float64{p.Nu, p.Gamma, p.Level, p.FalseAlarmsPerDay, p.OverheadPercent} {
			if v != nil && !(*v > 0 && *v <= 1e9) {
				t.Errorf("%s: %v", text, *v)
			}
		}
	})
}
