package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAttackCommandLines(t *testing.T) {
	for _, tt := range []struct {
		attack Attack
		want   string
	}{
		{Attack{Name: "synflood", Side: Target}, "timeout -s INT -k 2 15.000 hping3 -q -n -S -p 80 -i u1000 -c 18001 10.77.0.10"},
		{Attack{Name: "synflood", Side: Source}, "timeout -s INT -k 2 15.000 hping3 -q -n -S -p 80 -i u2000 -c 9001 10.77.0.1"},
		{Attack{Name: "portscan", Side: Target, Rate: 99}, `timeout -s TERM -k 2 15.000 /bin/sh -c while "$@" || exit; do :; done nmap nmap -n -Pn -sS -p- --min-rate 99 --max-rate 99 10.77.0.10`},
		{Attack{Name: "slowhttp", Side: Source}, `timeout -s TERM -k 2 15.000 /bin/sh -c while "$@" || exit; do :; done slowhttptest slowhttptest -B -c 60 -r 12 -i 5 -x 10 -s 8192 -p 5 -l 16 -u http://10.77.0.1/`},
		{Attack{Name: "bruteforce", Side: Target}, "timeout -s TERM -k 2 15.000 /bin/sh -c " + bruteforceScript + " bruteforce 10.77.0.10 2"},
	} {
		tt.attack.For = 15 * time.Second
		a, kind, err := tt.attack.resolve(WebAddr)
		if err != nil {
			t.Errorf("%s: %v", tt.attack.Name, err)
			continue
		}
		got := strings.Join(kind.argv(a.Addr, a.Rate, a.For), " ")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", a.Name, a.Side, diff)
		}
	}
}

func TestAttackRefuses(t *testing.T) {
	good := Attack{Name: "synflood", Side: Target, For: time.Minute}
	for name, change := range map[string]func(*Attack){
		"unknown name":       func(a *Attack) { a.Name = "nuke" },
		"unknown side":       func(a *Attack) { a.Side = "both" },
		"too fast":           func(a *Attack) { a.Rate = 5001 },
		"negative rate":      func(a *Attack) { a.Rate = -1 },
		"no time":            func(a *Attack) { a.For = 0 },
		"too long":           func(a *Attack) { a.For = 25 * time.Hour },
		"outside the lab":    func(a *Attack) { a.Addr = netip.MustParseAddr("192.0.2.1") },
		"loopback":           func(a *Attack) { a.Addr = netip.MustParseAddr("127.0.0.1") },
		"outside, as mapped": func(a *Attack) { a.Addr = netip.MustParseAddr("::ffff:10.77.0.10") },
	} {
		a := good
		change(&a)
		if _, _, err := a.resolve(WebAddr); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever is asked for, what is accepted stays in the lab and within bounds.
func TestAttackBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Attack{
			Name: rapid.SampledFrom(AttackNames()).Draw(t, "name"),
			Side: rapid.SampledFrom([]Side{Target, Source}).Draw(t, "side"),
			Rate: rapid.IntRange(-10, 20000).Draw(t, "rate"),
			For:  time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "for")),
			Addr: netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr"))),
		}
		got, kind, err := a.resolve(WebAddr)
		if err != nil {
			return
		}
		if !Subnet.Contains(got.Addr) || got.Rate < 1 || got.Rate > kind.Max || got.For > MaxFor {
			t.Fatalf("accepted %+v", got)
		}
		if argv := kind.argv(got.Addr, got.Rate, got.For); argv[0] != "timeout" {
			t.Fatalf("%q has no time limit of its own", argv)
		}
	})
}

func TestCheckInSubnet(t *testing.T) {
	for addr, ok := range map[string]bool{
		"10.77.0.10:80": true, "10.77.0.255:1": true, "10.77.1.1:80": false, "8.8.8.8:53": false,
		"[fe80::1]:80": false, "localhost:80": false, "10.77.0.10": false, "": false,
	} {
		if err := checkInSubnet(addr); (err == nil) != ok {
			t.Errorf("%q: %v, want accepted %v", addr, err, ok)
		}
	}
}

func TestStressCommandLines(t *testing.T) {
	want := map[string]string{
		"memory":  `guest: timeout -s TERM -k 2 10.000 /bin/sh -c cd /var/tmp && exec "$@" stress stress --vm 1 --vm-bytes 96M`,
		"io":      `guest: timeout -s TERM -k 2 10.000 /bin/sh -c cd /var/tmp && exec "$@" stress stress --io 2`,
		"disk":    `guest: timeout -s TERM -k 2 10.000 /bin/sh -c cd /var/tmp && exec "$@" stress stress --hdd 1 --hdd-bytes 128M`,
		"cpu":     "guest: timeout -s TERM -k 2 10.000 sysbench cpu --time=11 run",
		"network": "host: timeout -s INT -k 2 10.000 ping -q -n -i 0.002 10.77.0.10",
		"idle":    "host: timeout -s TERM -k 2 10.000 sleep 11",
	}
	got := map[string]string{}
	for _, kind := range StressKinds() {
		argv, inGuest, err := Stress{Kind: kind, For: 10 * time.Second}.argv(WebAddr)
		if err != nil {
			t.Fatal(err)
		}
		got[kind] = map[bool]string{true: "guest: ", false: "host: "}[inGuest] + strings.Join(argv, " ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stress (-want +got):\n%s", diff)
	}
	if _, _, err := (Stress{Kind: "soul"}).argv(WebAddr); err == nil {
		t.Error("an unknown stress was accepted")
	}
}

func TestScenarios(t *testing.T) {
	for _, name := range Scenarios() {
		sc, err := parseScenario(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var rebuilt string
		switch {
		case sc.attack != nil:
			rebuilt = sc.attack.Name + "_" + string(sc.attack.Side)
			a := *sc.attack
			a.For = time.Minute
			if _, _, err := a.resolve(WebAddr); err != nil || !sc.load {
				t.Errorf("%s: load %v, %v", name, sc.load, err)
			}
		case sc.stress != nil:
			rebuilt = "stress_" + sc.stress.Kind
		default:
			rebuilt = map[bool]string{true: "normal", false: "idle"}[sc.load]
		}
		if rebuilt != name {
			t.Errorf("%s means %s", name, rebuilt)
		}
	}
	for _, name := range []string{"", "stress_idle", "synflood", "synflood_both", "normal_target", "../x"} {
		if _, err := parseScenario(name); err == nil {
			t.Errorf("scenario %q was accepted", name)
		}
	}
}

func TestJudgeRun(t *testing.T) {
	for code, ok := range map[int]bool{0: true, 124: true, 1: false, 127: false, 137: false} {
		if err := judgeRun("x", ExecResult{Code: code, Stderr: []byte("why\n")}); (err == nil) != ok {
			t.Errorf("exit code %d: %v", code, err)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	cfg, err := Load{}.config()
	if err != nil || cfg.Sessions != 6 || cfg.Think != 700*time.Millisecond || cfg.MaxRate != maxLoadRate {
		t.Errorf("defaults: %+v, %v", cfg, err)
	}
	for name, ld := range map[string]Load{"shape": {Shape: "square"}, "duration": {For: -time.Second}} {
		if _, err := ld.config(); err == nil {
			t.Errorf("a wrong %s was accepted", name)
		}
	}
}
