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
func (m Metrics) Socket() string { return socketOf(m.Listen) }

// check is the first thing that is wrong with it, nil for nothing.
func (m Metrics) check() *problem { return checkListener("metrics", m.Listen, m.WebConfig) }

// socketOf is the path of the UNIX socket that an address names; empty: it names none.
func socketOf(listen string) string {
	path, found := strings.CutPrefix(listen, unixPrefix)
	if !found {
		return ""
	}
	return path
}

// checkListener is the first thing that is wrong with where a table's server listens, nil for nothing.
func checkListener(table, listen, webConfig string) *problem {
	if webConfig != "" && !filepath.IsAbs(webConfig) {
		return wrong(table+".web_config", "%q is not an absolute path", webConfig)
	}
	if listen == "" {
		return nil
	}
	if strings.HasPrefix(listen, unixPrefix) {
		if !filepath.IsAbs(socketOf(listen)) {
			return wrong(table+".listen", "%q: %q is not an absolute path", listen, socketOf(listen))
		}
		return nil
	}
	at, err := netip.ParseAddrPort(listen)
	switch {
	case err != nil:
		return wrong(table+".listen", "%.80q is neither an IP address with a port, such as 127.0.0.1:9889 or [::1]:9889, nor unix:/PATH", listen)
	case at.Port() == 0:
		return wrong(table+".listen", "%q: there is no port 0", listen)
	case !at.Addr().IsLoopback() && webConfig == "":
		return &problem{
			keys: []string{table + ".listen", table + ".web_config"},
			text: fmt.Sprintf("other hosts can reach %s: without %s.web_config (TLS, basic auth), only a loopback address or a UNIX socket will do", at, table),
		}
	}
	return nil
}
