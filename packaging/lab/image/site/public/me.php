<?php
require '../lib/site.php';

if (!posted()) {
    page('About me', form('/me.php', login_fields(), 'Show me'));
    exit;
}

$u = login();
$selling = rows('SELECT * FROM items WHERE seller = ? ORDER BY id DESC LIMIT 10', [$u['id']]);
$bidding = rows('SELECT i.* FROM items i JOIN (SELECT DISTINCT item FROM bids WHERE bidder = ? ORDER BY item DESC LIMIT 10) b ON b.item = i.id', [$u['id']]);
$bought = rows('SELECT p.quantity, p.price, p.made, i.id, i.name FROM purchases p JOIN items i ON i.id = p.item
    WHERE p.buyer = ? ORDER BY p.id DESC LIMIT 10', [$u['id']]);
$list = '';
foreach ($bought as $b) {
    $list .= '<li>' . (int) $b['quantity'] . ' × <a href="/item.php?id=' . (int) $b['id'] . '">' . h($b['name']) . '</a> at ' . money($b['price'])
        . ', ' . when($b['made']) . '</li>';
}
page('About ' . $u['nickname'], '<h2>You sell</h2>' . item_table($selling) . '<h2>You bid for</h2>' . item_table($bidding)
    . '<h2>You bought</h2>' . ($list === '' ? '<p>Nothing yet.</p>' : "<ul>$list</ul>"));
