<?php
require '../lib/site.php';

$closing = rows('SELECT * FROM items WHERE closes > UTC_TIMESTAMP() ORDER BY closes LIMIT 10');
$counts = row('SELECT (SELECT COUNT(*) FROM categories) AS categories, (SELECT COUNT(*) FROM regions) AS regions');
page('Going, going, gone', '<p class="lead">Auctions in ' . (int) $counts['categories'] . ' categories, by people from '
    . (int) $counts['regions'] . ' regions. Browse by <a href="/categories.php">category</a> or by <a href="/regions.php">region</a>,
    or <a href="/sell.php">sell</a> something of your own.</p><h2>Closing soonest</h2>' . item_table($closing));
