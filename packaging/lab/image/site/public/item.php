<?php
require '../lib/site.php';

$i = item(number($_GET, 'id'));
$id = (int) $i['id'];
$buy = $i['buy_now'] !== null && $i['quantity'] > 0 ? "<a class=\"button\" href=\"/buy.php?item=$id\">Buy now for " . money($i['buy_now']) . '</a>' : '';
$also = rows('SELECT id, name, max_bid, start_price FROM items WHERE seller = ? AND id <> ? LIMIT 5', [$i['seller'], $id]);
$list = '';
foreach ($also as $a) {
    $list .= '<li><a href="/item.php?id=' . (int) $a['id'] . '">' . h($a['name']) . '</a>, ' . money($a['max_bid'] ?? $a['start_price']) . '</li>';
}
page($i['name'], '<div class="card"><img class="photo" src="' . photo($id) . '" width="240" height="180" alt="">
<table><tr><th>Price now</th><td>' . money($i['max_bid'] ?? $i['start_price']) . '</td></tr>
<tr><th>Reserve</th><td>' . ($i['reserve'] === null ? 'none' : ((int) $i['max_bid'] >= (int) $i['reserve'] ? 'met' : 'not met yet')) . '</td></tr>
<tr><th>Bids</th><td><a href="/bids.php?item=' . $id . '">' . (int) $i['bid_count'] . '</a></td></tr>
<tr><th>On offer</th><td>' . (int) $i['quantity'] . '</td></tr>
<tr><th>Seller</th><td>' . user_link($i['seller'], $i['nickname']) . ' (' . (int) $i['rating'] . ')</td></tr>
<tr><th>Category</th><td><a href="/search.php?category=' . (int) $i['category'] . '">' . h($i['category_name']) . '</a></td></tr>
<tr><th>Region</th><td>' . h($i['region_name']) . '</td></tr>
<tr><th>Opened</th><td>' . when($i['opened']) . '</td></tr><tr><th>Closes</th><td>' . when($i['closes']) . '</td></tr></table>
<p><a class="button" href="/bid.php?item=' . $id . '">Bid</a> ' . $buy . '</p></div>
<h2>Description</h2><p>' . nl2br(h($i['description'])) . '</p>'
    . ($list === '' ? '' : '<h2>Also from this seller</h2><ul>' . $list . '</ul>'));
