package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/emulator"
)

// service is what a guest serves.
type service struct {
	what string // for people
	// setup is a shell script that has the guest serve it, when what answers
	// does not; it may run again. Empty: the image does so by itself.
	setup string
	// answers asks once whether it is served.
	answers func(ctx context.Context, l *Lab, g GuestDef) error
	// load plays clients until ctx ends.
	load func(ctx context.Context, l *Lab, g GuestDef, cfg emulator.Config, report func(emulator.Stats)) (emulator.Stats, error)
}

// services are what guests serve, by the name in Variant.
var services = map[string]service{
	"web": {
		what:    "web pages",
		answers: func(ctx context.Context, l *Lab, g GuestDef) error { return l.webPage(ctx, g) },
		load: func(ctx context.Context, l *Lab, g GuestDef, cfg emulator.Config, report func(emulator.Stats)) (emulator.Stats, error) {
			cfg.BaseURL, cfg.Dial = "http://"+g.Addr.String(), l.DialContext
			return emulator.Run(ctx, cfg, report)
		},
	},
	"database": {what: "data base", setup: databaseSetup, answers: databaseAnswers, load: databaseLoad},
	"mail":     {what: "mail", setup: mailSetup, answers: mailAnswers, load: mailLoad},
}

func serviceOf(g GuestDef) (service, error) {
	v, err := variantOf(g.Variant)
	if err != nil {
		return service{}, fmt.Errorf("service of guest %s: %w", g.Name, err)
	}
	return services[v.service], nil
}

// WaitForService waits until the guest serves what its variant is for: the
// web application, or what else. Where the guest must be told to, it is.
func (l *Lab) WaitForService(ctx context.Context, name string, limit time.Duration) error {
	g, err := l.Guest(name)
	if err != nil {
		return err
	}
	s, err := serviceOf(g)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	told := s.setup == ""
	return l.await(ctx, g, s.what, func(ctx context.Context, g GuestDef) error {
		err := s.answers(ctx, l, g)
		if err == nil || told {
			return err
		}
		res, err := l.Exec(ctx, g.Name, "/bin/sh", "-euc", s.setup)
		if err != nil {
			return err
		}
		told = res.Code == 0
		return judgeRun("set up the "+s.what, res)
	})
}
