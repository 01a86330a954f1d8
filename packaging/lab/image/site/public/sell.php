<?php
require '../lib/site.php';

if (posted()) {
    $user = login();
    $category = number($_POST, 'category');
    if (row('SELECT id FROM categories WHERE id = ?', [$category]) === null) {
        fail(400, 'There is no such category.');
    }
    $reserve = number($_POST, 'reserve', 0, 0);
    $buy = number($_POST, 'buy_now', 0, 0);
    $id = write('INSERT INTO items (name, description, seller, category, region, start_price, reserve, buy_now, quantity, opened, closes)
        VALUES (?, ?, ?, ?, ?, ?, NULLIF(?, 0), NULLIF(?, 0), ?, UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL ? DAY)',
        [text('name', 100), text('description', 8000), $user['id'], $category, $user['region'], number($_POST, 'start_price'),
            $reserve, $buy, number($_POST, 'quantity', 1), min(30, number($_POST, 'days', 7))]);
    page('On offer', '<p class="card">Your item is on offer as <a href="/item.php?id=' . $id . '">number ' . $id . '</a>.</p>');
    exit;
}

$fields = '<label>Category <select name="category">' . options(rows('SELECT id, name FROM categories ORDER BY name')) . '</select></label>'
    . '<label>What is it? <input name="name" maxlength="100" required></label>'
    . '<label>Description <textarea name="description" rows="8" maxlength="8000" required></textarea></label>'
    . '<label>First price in cents <input name="start_price" type="number" min="1" required></label>'
    . '<label>Reserve in cents (0: none) <input name="reserve" type="number" min="0" value="0"></label>'
    . '<label>Buy-now price in cents (0: none) <input name="buy_now" type="number" min="0" value="0"></label>'
    . '<label>Pieces <input name="quantity" type="number" min="1" value="1"></label>'
    . '<label>Days <input name="days" type="number" min="1" max="30" value="7"></label>' . login_fields();
page('Sell', form('/sell.php', $fields, 'Offer it'));
