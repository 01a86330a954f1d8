<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><?= h($title) ?> · Gavel Lane</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<a href="/"><img src="/img/logo.png" width="220" height="60" alt="Gavel Lane"></a>
<nav>
<a href="/">Home</a>
<a href="/categories.php">Categories</a>
<a href="/regions.php">Regions</a>
<a href="/sell.php">Sell</a>
<a href="/register.php">Register</a>
<a href="/me.php">About me</a>
</nav>
</header>
<main>
<h1><?= h($title) ?></h1>
<?= $body ?>
</main>
<footer>
<section><h2>Buying</h2><p>A bid is a promise. Whoever holds the highest bid when an auction closes has bought the item, and the
seller expects to hear from the buyer within three days. Read the description to its end, look at what others said of
the seller, and ask before you bid, not afterwards.</p></section>
<section><h2>Selling</h2><p>Describe what you sell as you would like to find it described: what it is, how old it is, what is
broken. A reserve price protects you from a bargain you regret; a buy-now price ends the waiting for everybody.</p></section>
<section><h2>The house</h2><p>Gavel Lane takes no commission and has no opinion about garden gnomes. All people, goods and towns on
these pages are made up, and no money has ever changed hands.</p></section>
</footer>
</body>
</html>
