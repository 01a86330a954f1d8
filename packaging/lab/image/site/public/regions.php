<?php
require '../lib/site.php';

$html = '<ul class="tiles">';
foreach (rows('SELECT id, name FROM regions ORDER BY name') as $r) {
    $html .= '<li><a href="/categories.php?region=' . (int) $r['id'] . '">' . h($r['name']) . '</a></li>';
}
page('Regions', $html . '</ul>');
