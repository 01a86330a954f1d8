<?php
require '../lib/site.php';

$category = number($_GET, 'category');
$region = isset($_GET['region']) ? number($_GET, 'region') : 0;
$page = number($_GET, 'page', 1);
$name = row('SELECT name FROM categories WHERE id = ?', [$category])['name'] ?? fail(404, 'There is no such category.');
$args = [$category];
$where = '';
$url = "/search.php?category=$category";
if ($region) {
    $args[] = $region;
    $where = 'AND region = ?';
    $url .= "&region=$region";
}
// One row more than shown tells whether there is a next page.
array_push($args, PAGE_SIZE + 1, ($page - 1) * PAGE_SIZE);
$items = rows("SELECT * FROM items WHERE category = ? $where AND closes > UTC_TIMESTAMP() ORDER BY closes LIMIT ? OFFSET ?", $args);
$more = count($items) > PAGE_SIZE;
page($name, item_table(array_slice($items, 0, PAGE_SIZE)) . pager($url, $page, $more));
