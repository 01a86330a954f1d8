<?php
// Writes the site's first rows as SQL. The same rows each time: one fixed seed, fixed dates.
// User N has the nickname "userN" and the password "passwordN".
declare(strict_types=1);

const USERS = 5000;
const ITEMS = 10000;
const BIDS = 50000;
const COMMENTS = 10000;
const CATEGORIES = ['Antiques', 'Art', 'Bicycles', 'Books', 'Cameras', 'Ceramics', 'Clocks', 'Coins', 'Computers', 'Furniture',
    'Garden', 'Instruments', 'Kitchen', 'Maps', 'Models', 'Radios', 'Records', 'Stamps', 'Tools', 'Toys'];
const ADJECTIVES = ['old', 'small', 'heavy', 'painted', 'rare', 'plain', 'brass', 'oak', 'blue', 'crooked', 'polished', 'silent',
    'folding', 'northern', 'round', 'early', 'late', 'dusty', 'repaired', 'signed'];
const NOUNS = ['lamp', 'box', 'chair', 'atlas', 'wheel', 'whistle', 'teapot', 'engine', 'mirror', 'album', 'lens', 'drum', 'kettle',
    'compass', 'ladder', 'violin', 'print', 'valve', 'bell', 'plane'];
const PHRASES = ['comes from a house with dry cellars', 'was used on Sundays only', 'has a scratch that nobody minds',
    'still smells faintly of tobacco', 'works as it did on its first day', 'needs a new screw on the left', 'was a wedding present',
    'has stood in a window for years', 'was counted twice and is complete', 'is heavier than it looks', 'has been cleaned with care',
    'will be sent well packed', 'can be seen by appointment', 'was found behind a wardrobe', 'belonged to a retired pilot',
    'shows its age with dignity', 'is sold because of a move', 'has its first coat of paint', 'was mended by a watchmaker',
    'fits on any shelf'];
const SYLLABLES = ['bar', 'den', 'el', 'fos', 'gra', 'hol', 'im', 'ka', 'lor', 'men', 'nor', 'os', 'pel', 'ru', 'sta', 'tor', 'ul', 'ven'];

// Dates hang on one day, not on the day of the build; auctions close years later, so that the lists never run empty.
const DAY_ZERO = 1735689600; // 1 January 2025
const FIRST_CLOSE = 1893456000; // 1 January 2030

mt_srand(20150901);

function pick(array $from): mixed
{
    return $from[mt_rand(0, count($from) - 1)];
}

function word(int $parts): string
{
    $w = '';
    for ($i = 0; $i < $parts; $i++) {
        $w .= pick(SYLLABLES);
    }
    return ucfirst($w);
}

function at(int $time): string
{
    return gmdate('Y-m-d H:i:s', $time);
}

function sentences(int $n): string
{
    $out = [];
    for ($i = 0; $i < $n; $i++) {
        $out[] = 'It ' . pick(PHRASES) . ' and ' . pick(PHRASES) . '.';
    }
    return implode(' ', $out);
}

/** Prints rows as INSERT statements of a few hundred rows each. */
function insert(string $table, iterable $rows): void
{
    $batch = [];
    $flush = function () use (&$batch, $table): void {
        if ($batch !== []) {
            echo "INSERT INTO $table VALUES\n", implode(",\n", $batch), ";\n";
            $batch = [];
        }
    };
    foreach ($rows as $row) {
        $cells = array_map(fn ($v) => $v === null ? 'NULL' : (is_int($v) ? (string) $v : "'" . addslashes($v) . "'"), $row);
        $batch[] = '(' . implode(',', $cells) . ')';
        if (count($batch) === 500) {
            $flush();
        }
    }
    $flush();
}

function categories(): iterable
{
    foreach (CATEGORIES as $n => $name) {
        yield [$n + 1, $name, 'From the ' . pick(ADJECTIVES) . ' ' . pick(NOUNS) . ' to the ' . pick(ADJECTIVES) . ' ' . pick(NOUNS) . '.'];
    }
}

function regions(): iterable
{
    for ($n = 1; $n <= 62; $n++) {
        yield [$n, word(2) . ' ' . pick(['Bay', 'Hills', 'Valley', 'County', 'Moor', 'Coast'])];
    }
}

function users(array &$regionOf): iterable
{
    for ($n = 1; $n <= USERS; $n++) {
        $regionOf[$n] = mt_rand(1, 62);
        // A given salt keeps the hash the same from build to build.
        $hash = crypt("password$n", '$2y$04$' . substr(strtr(base64_encode(sha1("salt$n", true)), '+', '.'), 0, 22));
        yield [$n, "user$n", word(2) . ' ' . word(3), $hash, $regionOf[$n], mt_rand(-5, 60), at(DAY_ZERO + mt_rand(0, 300) * 86400)];
    }
}

/** Bids first: an item's row tells how many it has and the highest. */
function bids(array &$count, array &$highest): array
{
    $rows = [];
    for ($n = 1; $n <= BIDS; $n++) {
        $item = 1 + intdiv(mt_rand(0, ITEMS - 1) * mt_rand(1, 1000), 1000); // the first items are the popular ones
        $item = min($item, ITEMS);
        $highest[$item] = ($highest[$item] ?? mt_rand(100, 20000)) + mt_rand(10, 500);
        $count[$item] = ($count[$item] ?? 0) + 1;
        $rows[] = [$n, $item, mt_rand(1, USERS), $highest[$item], 1, at(DAY_ZERO + 310 * 86400 + $n * 60)];
    }
    return $rows;
}

function items(array $regionOf, array $count, array $highest): iterable
{
    for ($n = 1; $n <= ITEMS; $n++) {
        $seller = mt_rand(1, USERS);
        $first = mt_rand(100, 20000);
        $buy = mt_rand(0, 9) < 6 ? max($first, $highest[$n] ?? 0) * 3 : null;
        yield [$n, ucfirst(pick(ADJECTIVES)) . ' ' . pick(ADJECTIVES) . ' ' . pick(NOUNS), sentences(mt_rand(4, 24)), $seller,
            mt_rand(1, count(CATEGORIES)), $regionOf[$seller], $first, mt_rand(0, 2) ? null : $first * 2, $buy, mt_rand(1, 20),
            $count[$n] ?? 0, $highest[$n] ?? null, at(DAY_ZERO + 305 * 86400), at(FIRST_CLOSE + mt_rand(0, 365 * 1440) * 60)];
    }
}

function comments(): iterable
{
    for ($n = 1; $n <= COMMENTS; $n++) {
        yield [$n, mt_rand(1, USERS), mt_rand(1, USERS), mt_rand(1, ITEMS), mt_rand(1, 5), sentences(mt_rand(1, 4)), at(DAY_ZERO + 340 * 86400 + $n * 120)];
    }
}

echo "USE auction;\nSET autocommit=0;\nSET foreign_key_checks=0;\nSET unique_checks=0;\n";
$regionOf = $count = $highest = [];
insert('categories', categories());
insert('regions', regions());
insert('users', users($regionOf));
$bids = bids($count, $highest);
insert('items', items($regionOf, $count, $highest));
insert('bids', $bids);
insert('comments', comments());
echo "COMMIT;\nANALYZE TABLE users, items, bids, comments;\n";
