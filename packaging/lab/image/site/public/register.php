<?php
require '../lib/site.php';

if (posted()) {
    $region = number($_POST, 'region');
    if (row('SELECT id FROM regions WHERE id = ?', [$region]) === null) {
        fail(400, 'There is no such region.');
    }
    try {
        $id = write('INSERT INTO users (nickname, name, password, region, rating, joined) VALUES (?, ?, ?, ?, 0, UTC_TIMESTAMP())',
            [text('nickname', 40), text('name', 80), password_hash(text('password', 72), PASSWORD_BCRYPT, ['cost' => 4]), $region]);
    } catch (mysqli_sql_exception $e) {
        if ($e->getCode() === 1062) {
            fail(409, 'This nickname is taken.');
        }
        throw $e;
    }
    page('Welcome', '<p class="card">You are ' . user_link($id, text('nickname', 40)) . ' now. <a href="/categories.php">Look around</a>.</p>');
    exit;
}

$fields = '<label>Your name <input name="name" maxlength="80" required></label>'
    . '<label>Region <select name="region">' . options(rows('SELECT id, name FROM regions ORDER BY name')) . '</select></label>' . login_fields();
page('Register', form('/register.php', $fields, 'Register'));
