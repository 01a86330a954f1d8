package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// unixPrefix begins the address of a UNIX socket.
const unixPrefix = "unix:"

// Metrics says where Prometheus reads the daemon's metrics.
type Metrics struct {
	// Listen is ADDRESS:PORT, with an IP address, or unix:/PATH; empty: nowhere. An address that other hosts can reach needs WebConfig.
	Listen string `toml:"listen"`
	// WebConfig is a file in the format of Prometheus' exporter-toolkit, with a certificate for TLS and users with their passwords' hashes. Empty: none.
	WebConfig string `toml:"web_config"`
}

// Socket is the path of the UNIX socket that Listen names; empty: it names none.
func (m Metrics) Socket() string {
	path, found := strings.CutPrefix(m.Listen, unixPrefix)
	if !found {
		return ""
	}
	return path
}

// check is the first thing that is wrong with it, nil for nothing.
func (m Metrics) check() *problem {
	if m.WebConfig != "" && !filepath.IsAbs(m.WebConfig) {
		return wrong("metrics.web_config", "%q is not an absolute path", m.WebConfig)
	}
	if m.Listen == "" {
		return nil
	}
	if strings.HasPrefix(m.Listen, unixPrefix) {
		if !filepath.IsAbs(m.Socket()) {
			return wrong("metrics.listen", "%q: %q is not an absolute path", m.Listen, m.Socket())
		}
		return nil
	}
	at, err := netip.ParseAddrPort(m.Listen)
	switch {
	case err != nil:
		return wrong("metrics.listen", "%.80q is neither an IP address with a port, such as 127.0.0.1:9889 or [::1]:9889, nor unix:/PATH", m.Listen)
	case at.Port() == 0:
		return wrong("metrics.listen", "%q: there is no port 0", m.Listen)
	case !at.Addr().IsLoopback() && m.WebConfig == "":
		return &problem{
			keys: []string{"metrics.listen", "metrics.web_config"},
			text: fmt.Sprintf("other hosts can reach %s: without metrics.web_config (TLS, basic auth), only a loopback address or a UNIX socket will do", at),
		}
	}
	return nil
}
