<?php
require '../lib/site.php';

$u = row('SELECT u.*, r.name AS region_name FROM users u JOIN regions r ON r.id = u.region WHERE u.id = ?', [number($_GET, 'id')])
    ?? fail(404, 'There is no such user.');
$comments = rows('SELECT c.rating, c.remark, c.made, c.item, i.name, u.id, u.nickname FROM comments c JOIN users u ON u.id = c.author
    JOIN items i ON i.id = c.item WHERE c.subject = ? ORDER BY c.id DESC LIMIT 25', [$u['id']]);
$html = '';
foreach ($comments as $c) {
    $html .= '<article class="card"><p><b>' . str_repeat('★', (int) $c['rating']) . str_repeat('☆', 5 - (int) $c['rating']) . '</b> '
        . user_link($c['id'], $c['nickname']) . ' about <a href="/item.php?id=' . (int) $c['item'] . '">' . h($c['name']) . '</a>, '
        . when($c['made']) . '</p><p>' . h($c['remark']) . '</p></article>';
}
page($u['nickname'], '<table class="card"><tr><th>Name</th><td>' . h($u['name']) . '</td></tr><tr><th>Region</th><td>' . h($u['region_name'])
    . '</td></tr><tr><th>Rating</th><td>' . (int) $u['rating'] . '</td></tr><tr><th>Member since</th><td>' . when($u['joined'])
    . '</td></tr></table><h2>What others say</h2>' . ($html === '' ? '<p>Nobody has said anything yet.</p>' : $html));
