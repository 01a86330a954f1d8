<?php
require '../lib/site.php';

if (posted()) {
    $user = login();
    $item = item(number($_POST, 'item'));
    $rating = min(5, number($_POST, 'rating'));
    $remark = text('remark', 2000);
    transaction(function () use ($user, $item, $rating, $remark): void {
        write('INSERT INTO comments (author, subject, item, rating, remark, made) VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP())',
            [$user['id'], $item['seller'], $item['id'], $rating, $remark]);
        write('UPDATE users SET rating = rating + ? WHERE id = ?', [$rating - 3, $item['seller']]);
    });
    page('Thank you', '<p class="card">Your words about ' . user_link($item['seller'], $item['nickname']) . ' are kept.</p>');
    exit;
}

$i = item(number($_GET, 'item'));
$fields = '<input type="hidden" name="item" value="' . (int) $i['id'] . '"><label>Stars <select name="rating">'
    . '<option>5</option><option>4</option><option>3</option><option>2</option><option>1</option></select></label>'
    . '<label>How was it? <textarea name="remark" rows="6" maxlength="2000" required></textarea></label>' . login_fields();
page('About ' . $i['nickname'], '<p>You comment on the sale of <a href="/item.php?id=' . (int) $i['id'] . '">' . h($i['name']) . '</a>.</p>'
    . form('/comment.php', $fields, 'Say so'));
