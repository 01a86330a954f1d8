<?php
// What every page of the auction site needs: the data base, escaping, the page frame.
declare(strict_types=1);

mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

const PAGE_SIZE = 20;

/** The connection, opened at first use. The account is the web server's own, known by its socket credentials. */
function db(): mysqli
{
    static $db = null;
    if ($db === null) {
        try {
            $db = new mysqli('p:localhost', 'www-data', null, 'auction');
            $db->set_charset('utf8mb4');
        } catch (mysqli_sql_exception $e) {
            header('Retry-After: 2');
            fail(503, 'The auction house opens in a moment.');
        }
    }
    return $db;
}

/** All rows of a query; arguments are always bound, never pasted. */
function rows(string $sql, array $args = []): array
{
    $result = db()->execute_query($sql, $args);
    return $result === true ? [] : $result->fetch_all(MYSQLI_ASSOC);
}

/** The first row of a query, or null. */
function row(string $sql, array $args = []): ?array
{
    return rows($sql, $args)[0] ?? null;
}

/** Runs a statement that writes; gives the id of an inserted row. */
function write(string $sql, array $args): int
{
    db()->execute_query($sql, $args);
    return (int) db()->insert_id;
}

/** Runs $work in a transaction: all of it or nothing. */
function transaction(callable $work): mixed
{
    db()->begin_transaction();
    try {
        $result = $work();
        db()->commit();
        return $result;
    } catch (Throwable $e) {
        db()->rollback();
        throw $e;
    }
}

/** A refusal that the visitor caused: ends in a page, after a roll-back if one is due. */
class Refused extends RuntimeException
{
}

function h(string|int|null $text): string
{
    return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE);
}

/** Cents as money. */
function money(int|string|null $cents): string
{
    return $cents === null ? '-' : number_format((int) $cents / 100, 2, '.', ' ') . ' €';
}

function when(string $time): string
{
    return date('j M Y, H:i', (int) strtotime($time . ' UTC'));
}

/** A whole number of the query string or the form, at least $least; fails the request without one. */
function number(array $from, string $name, ?int $default = null, int $least = 1): int
{
    if (!isset($from[$name]) && $default !== null) {
        return $default;
    }
    $n = filter_var($from[$name] ?? null, FILTER_VALIDATE_INT, ['options' => ['min_range' => $least, 'max_range' => 2000000000]]);
    if ($n === false) {
        fail(400, "The field '$name' must be a whole number of at least $least.");
    }
    return $n;
}

/** A text of the form, trimmed, of limited length; fails the request without one. */
function text(string $name, int $longest): string
{
    $text = $_POST[$name] ?? '';
    $text = is_string($text) ? trim($text) : '';
    if ($text === '' || mb_strlen($text) > $longest) {
        fail(400, "The field '$name' must have 1 to $longest characters.");
    }
    return $text;
}

function posted(): bool
{
    return $_SERVER['REQUEST_METHOD'] === 'POST';
}

/** The user whose nickname and password came with the form. */
function login(): array
{
    $user = row('SELECT * FROM users WHERE nickname = ?', [text('nickname', 40)]);
    if ($user === null || !password_verify(text('password', 72), $user['password'])) {
        fail(403, 'This nickname and password do not belong together.');
    }
    return $user;
}

/** The two fields of login(), for a form. */
function login_fields(): string
{
    return '<label>Nickname <input name="nickname" maxlength="40" required></label>'
        . '<label>Password <input name="password" type="password" maxlength="72" required></label>';
}

/** A form that posts to the page itself. */
function form(string $action, string $fields, string $button): string
{
    return '<form class="card" method="post" action="' . h($action) . '">' . $fields
        . '<p><button type="submit">' . h($button) . '</button></p></form>';
}

function options(array $rows): string
{
    $html = '';
    foreach ($rows as $r) {
        $html .= '<option value="' . (int) $r['id'] . '">' . h($r['name']) . '</option>';
    }
    return $html;
}

function photo(int $item): string
{
    return sprintf('/img/photo-%02d.png', $item % 24);
}

function user_link(int|string $id, string $nickname): string
{
    return '<a href="/user.php?id=' . (int) $id . '">' . h($nickname) . '</a>';
}

/** An item with its seller, category and region, or a 404. */
function item(int $id): array
{
    $item = row("SELECT i.*, u.nickname, u.rating, c.name AS category_name, r.name AS region_name
        FROM items i JOIN users u ON u.id = i.seller JOIN categories c ON c.id = i.category
        JOIN regions r ON r.id = i.region WHERE i.id = ?", [$id]);
    return $item ?? fail(404, 'There is no such item.');
}

/** The same, locked until the transaction ends: the item's own row only, not its category and seller. */
function locked_item(int $id): array
{
    row('SELECT id FROM items WHERE id = ? FOR UPDATE', [$id]);
    return item($id);
}

/** The lowest bid that an item takes now, in cents. */
function lowest_bid(array $item): int
{
    return $item['bid_count'] == 0 ? (int) $item['start_price'] : (int) $item['max_bid'] + max(10, intdiv((int) $item['max_bid'], 50));
}

/** A table of items, as lists and searches show them. */
function item_table(array $items): string
{
    $html = '<table class="list"><thead><tr><th></th><th>Item</th><th>Price now</th><th>Buy now</th><th>Bids</th><th>Closes</th><th></th></tr></thead><tbody>';
    foreach ($items as $i) {
        $id = (int) $i['id'];
        $html .= "<tr><td class=\"swatch s" . $id % 12 . "\"></td><td><a href=\"/item.php?id=$id\">" . h($i['name']) . '</a><br><small>'
            . h(mb_substr($i['description'], 0, 110)) . '…</small></td><td class="num">' . money($i['max_bid'] ?? $i['start_price'])
            . '</td><td class="num">' . money($i['buy_now']) . "</td><td class=\"num\"><a href=\"/bids.php?item=$id\">" . (int) $i['bid_count']
            . '</a></td><td>' . when($i['closes']) . "</td><td><a class=\"button\" href=\"/bid.php?item=$id\">Bid</a></td></tr>";
    }
    return $html . '</tbody></table>' . ($items === [] ? '<p>Nothing is on offer here.</p>' : '');
}

/** Links to the page before and after. */
function pager(string $url, int $page, bool $more): string
{
    $html = '<p class="pager">';
    if ($page > 1) {
        $html .= '<a rel="prev" href="' . h($url . '&page=' . ($page - 1)) . '">Previous page</a> ';
    }
    if ($more) {
        $html .= '<a rel="next" href="' . h($url . '&page=' . ($page + 1)) . '">Next page</a>';
    }
    return $html . '</p>';
}

/** Sends a whole page. */
function page(string $title, string $body, int $status = 200): void
{
    http_response_code($status);
    header('Content-Type: text/html; charset=utf-8');
    header('Cache-Control: no-cache');
    require __DIR__ . '/frame.php';
}

/** Ends the request with a page that says what is wrong. */
function fail(int $status, string $message): never
{
    page('Sorry', '<p class="card">' . h($message) . '</p>', $status);
    exit;
}

set_exception_handler(function (Throwable $e): void {
    if ($e instanceof Refused) {
        fail(409, $e->getMessage());
    }
    error_log((string) $e);
    fail(500, 'Something broke here. It is not your fault.');
});
