<?php
require '../lib/site.php';

$i = item(number($_GET, 'item'));
$bids = rows('SELECT b.amount, b.quantity, b.made, u.id, u.nickname FROM bids b JOIN users u ON u.id = b.bidder
    WHERE b.item = ? ORDER BY b.amount DESC, b.id LIMIT 100', [$i['id']]);
$html = '<table class="list"><thead><tr><th>Bid</th><th>Pieces</th><th>Bidder</th><th>Made</th></tr></thead><tbody>';
foreach ($bids as $b) {
    $html .= '<tr><td class="num">' . money($b['amount']) . '</td><td class="num">' . (int) $b['quantity'] . '</td><td>'
        . user_link($b['id'], $b['nickname']) . '</td><td>' . when($b['made']) . '</td></tr>';
}
page('Bids for ' . $i['name'], '<p><a href="/item.php?id=' . (int) $i['id'] . '">Back to the item</a></p>' . $html . '</tbody></table>');
