package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/go-sql-driver/mysql"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/emulator"
)

// databaseSetup has the guest's MariaDB listen to the lab's network, and ends
// the web site that it serves otherwise. The password is as public as the
// lab's network is closed.
const databaseSetup = `
cat >/etc/mysql/mariadb.conf.d/91-network.cnf <<END
[mariadbd]
skip-networking = OFF
bind-address = 0.0.0.0
END
systemctl disable --now apache2.service
systemctl restart mariadb.service
mariadb -e "CREATE USER IF NOT EXISTS 'visitor'@'10.77.0.%' IDENTIFIED BY 'gavel';
	GRANT SELECT, INSERT, UPDATE ON auction.* TO 'visitor'@'10.77.0.%'"`

// Ranges of the numbers that the image's seed data knows.
const (
	knownUsers      = 5000
	knownItems      = 10000
	knownCategories = 20
)

func (l *Lab) databaseConfig(g GuestDef) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = "visitor", "gavel", "auction"
	cfg.Net, cfg.Addr = "tcp", g.Addr.String()+":3306"
	cfg.DialFunc = l.DialContext
	cfg.Logger = &mysql.NopLogger{} // what fails is counted
	return cfg
}

func databaseAnswers(ctx context.Context, l *Lab, g GuestDef) error {
	c := &databaseClient{cfg: l.databaseConfig(g)}
	defer c.Leave()
	db, err := c.connect()
	if err != nil {
		return err
	}
	return db.PingContext(ctx)
}

func databaseLoad(ctx context.Context, l *Lab, g GuestDef, cfg emulator.Config, report func(emulator.Stats)) (emulator.Stats, error) {
	return emulator.RunClients(ctx, cfg, func(rng *rand.Rand) emulator.Client {
		return &databaseClient{cfg: l.databaseConfig(g), rng: rng}
	}, report)
}

// databaseClient is one client of the auction site's data base, as another
// machine's programme would be, with a connection of its own for each visit.
type databaseClient struct {
	cfg *mysql.Config
	rng *rand.Rand
	db  *sql.DB
}

func (c *databaseClient) connect() (*sql.DB, error) {
	if c.db == nil {
		connector, err := mysql.NewConnector(c.cfg)
		if err != nil {
			return nil, fmt.Errorf("connect to data base: %w", err)
		}
		c.db = sql.OpenDB(connector)
		c.db.SetMaxOpenConns(1)
	}
	return c.db, nil
}

// Leave implements [emulator.Client].
func (c *databaseClient) Leave() {
	if c.db != nil {
		_ = c.db.Close()
		c.db = nil
	}
}

// databaseRequests are what clients ask for: mostly reads of a few kilobytes,
// some writes that must reach the disk, and now and then a look at a whole
// table.
var databaseRequests = []struct {
	kind   string
	weight int
	do     func(ctx context.Context, db *sql.DB, rng *rand.Rand) error
}{
	{"list", 30, func(ctx context.Context, db *sql.DB, rng *rand.Rand) error {
		return query(ctx, db, `SELECT * FROM items WHERE category = ? ORDER BY closes LIMIT 20 OFFSET ?`,
			1+rng.IntN(knownCategories), 20*rng.IntN(5))
	}},
	{"item", 30, func(ctx context.Context, db *sql.DB, rng *rand.Rand) error {
		return query(ctx, db, `SELECT i.*, b.amount, b.made, u.nickname FROM items i LEFT JOIN bids b ON b.item = i.id
			LEFT JOIN users u ON u.id = b.bidder WHERE i.id = ? ORDER BY b.amount DESC LIMIT 20`, 1+rng.IntN(knownItems))
	}},
	{"user", 15, func(ctx context.Context, db *sql.DB, rng *rand.Rand) error {
		return query(ctx, db, `SELECT u.nickname, u.rating, c.remark, c.made FROM users u LEFT JOIN comments c ON c.subject = u.id
			WHERE u.id = ?`, 1+rng.IntN(knownUsers))
	}},
	{"search", 4, func(ctx context.Context, db *sql.DB, rng *rand.Rand) error {
		return query(ctx, db, `SELECT id, name FROM items WHERE name LIKE ? LIMIT 20`, fmt.Sprintf("%%%c%c%%", 'a'+rng.IntN(26), 'a'+rng.IntN(26)))
	}},
	{"report", 1, func(ctx context.Context, db *sql.DB, _ *rand.Rand) error {
		return query(ctx, db, `SELECT category, COUNT(*), SUM(bid_count), AVG(max_bid) FROM items GROUP BY category`)
	}},
	{"bid", 15, bid},
	{"comment", 5, func(ctx context.Context, db *sql.DB, rng *rand.Rand) error {
		_, err := db.ExecContext(ctx, `INSERT INTO comments (author, subject, item, rating, remark, made)
			VALUES (?, ?, ?, ?, 'As described, and quickly sent.', UTC_TIMESTAMP())`,
			1+rng.IntN(knownUsers), 1+rng.IntN(knownUsers), 1+rng.IntN(knownItems), 1+rng.IntN(5))
		return err
	}},
}

// Request implements [emulator.Client].
func (c *databaseClient) Request(ctx context.Context) (string, error) {
	total := 0
	for _, r := range databaseRequests {
		total += r.weight
	}
	n, i := c.rng.IntN(total), 0
	for n >= databaseRequests[i].weight {
		n -= databaseRequests[i].weight
		i++
	}
	request := databaseRequests[i]
	db, err := c.connect()
	if err == nil {
		err = request.do(ctx, db, c.rng)
	}
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		err = emulator.Failure(fmt.Sprintf("sql %d", refused.Number))
	}
	return request.kind, err
}

// query reads all rows, and forgets them.
func query(ctx context.Context, db *sql.DB, text string, args ...any) error {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		continue
	}
	return rows.Err()
}

// bid raises the highest bid for an item in one transaction.
func bid(ctx context.Context, db *sql.DB, rng *rand.Rand) error {
	item, bidder := 1+rng.IntN(knownItems), 1+rng.IntN(knownUsers)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after Commit
	var amount int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(max_bid, start_price) + 50 FROM items WHERE id = ? FOR UPDATE`, item).Scan(&amount); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO bids (item, bidder, amount, quantity, made) VALUES (?, ?, ?, 1, UTC_TIMESTAMP())`,
		item, bidder, amount); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE items SET max_bid = ?, bid_count = bid_count + 1 WHERE id = ?`, amount, item); err != nil {
		return err
	}
	return tx.Commit()
}
