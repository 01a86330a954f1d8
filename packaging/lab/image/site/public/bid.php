<?php
require '../lib/site.php';

if (posted()) {
    $user = login();
    $amount = number($_POST, 'amount');
    $quantity = number($_POST, 'quantity', 1);
    $item = transaction(function () use ($user, $amount, $quantity): array {
        $item = locked_item(number($_POST, 'item'));
        if (strtotime($item['closes'] . ' UTC') < time() || $item['quantity'] < $quantity) {
            throw new Refused('This auction is over, or has fewer pieces than that.');
        }
        if ($amount < lowest_bid($item)) {
            throw new Refused('Somebody was faster: the lowest bid is now ' . money(lowest_bid($item)) . '.');
        }
        write('INSERT INTO bids (item, bidder, amount, quantity, made) VALUES (?, ?, ?, ?, UTC_TIMESTAMP())',
            [$item['id'], $user['id'], $amount, $quantity]);
        write('UPDATE items SET max_bid = ?, bid_count = bid_count + 1 WHERE id = ?', [$amount, $item['id']]);
        return $item;
    });
    page('Your bid stands', '<p class="card">You bid ' . money($amount) . ' for <a href="/item.php?id=' . (int) $item['id'] . '">'
        . h($item['name']) . '</a>. See <a href="/bids.php?item=' . (int) $item['id'] . '">all bids</a>.</p>');
    exit;
}

$i = item(number($_GET, 'item'));
$fields = '<input type="hidden" name="item" value="' . (int) $i['id'] . '">'
    . '<label>Your bid in cents <input name="amount" type="number" min="' . lowest_bid($i) . '" value="' . lowest_bid($i) . '" required></label>'
    . '<label>Pieces <input name="quantity" type="number" min="1" max="' . (int) $i['quantity'] . '" value="1"></label>' . login_fields();
page('Bid for ' . $i['name'], '<p>The lowest bid is ' . money(lowest_bid($i)) . ', after ' . (int) $i['bid_count'] . ' bids. Sold by '
    . user_link($i['seller'], $i['nickname']) . ', closes ' . when($i['closes']) . '.</p>' . form('/bid.php', $fields, 'Bid')
    . '<h2>What you bid for</h2><p>' . nl2br(h($i['description'])) . '</p>');
