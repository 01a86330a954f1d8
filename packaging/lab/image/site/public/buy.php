<?php
require '../lib/site.php';

if (posted()) {
    $user = login();
    $quantity = number($_POST, 'quantity', 1);
    $item = transaction(function () use ($user, $quantity): array {
        $item = locked_item(number($_POST, 'item'));
        if ($item['buy_now'] === null || $item['quantity'] < $quantity) {
            throw new Refused('There are not that many left to buy.');
        }
        write('INSERT INTO purchases (item, buyer, quantity, price, made) VALUES (?, ?, ?, ?, UTC_TIMESTAMP())',
            [$item['id'], $user['id'], $quantity, $item['buy_now']]);
        write('UPDATE items SET quantity = quantity - ? WHERE id = ?', [$quantity, $item['id']]);
        return $item;
    });
    page('It is yours', '<p class="card">You bought <a href="/item.php?id=' . (int) $item['id'] . '">' . h($item['name']) . '</a> for '
        . money($item['buy_now'] * $quantity) . ' from ' . user_link($item['seller'], $item['nickname'])
        . '. When it has arrived, <a href="/comment.php?item=' . (int) $item['id'] . '">say how it was</a>.</p>');
    exit;
}

$i = item(number($_GET, 'item'));
if ($i['buy_now'] === null || $i['quantity'] < 1) {
    fail(409, 'This item cannot be bought at once.');
}
$fields = '<input type="hidden" name="item" value="' . (int) $i['id'] . '">'
    . '<label>Pieces <input name="quantity" type="number" min="1" max="' . (int) $i['quantity'] . '" value="1"></label>' . login_fields();
page('Buy ' . $i['name'], '<p>For ' . money($i['buy_now']) . ' a piece it is yours at once; ' . (int) $i['quantity'] . ' left. Sold by '
    . user_link($i['seller'], $i['nickname']) . '.</p>' . form('/buy.php', $fields, 'Buy now'));
