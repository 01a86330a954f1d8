<?php
require '../lib/site.php';

// ?region= narrows every link to one region.
$region = isset($_GET['region']) ? number($_GET, 'region') : 0;
$name = $region ? row('SELECT name FROM regions WHERE id = ?', [$region])['name'] ?? fail(404, 'There is no such region.') : '';
$html = '<ul class="tiles">';
foreach (rows('SELECT id, name, about FROM categories ORDER BY name') as $c) {
    $url = '/search.php?category=' . (int) $c['id'] . ($region ? "&region=$region" : '');
    $html .= '<li><a href="' . h($url) . '">' . h($c['name']) . '</a><br><small>' . h($c['about']) . '</small></li>';
}
page($region ? "Categories in $name" : 'Categories', $html . '</ul>');
