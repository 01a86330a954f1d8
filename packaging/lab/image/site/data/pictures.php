<?php
// Draws the site's pictures into the folder given: a logo and 24 photographs of 240x180 points, the same ones each time.
declare(strict_types=1);

function chunk(string $type, string $data): string
{
    return pack('N', strlen($data)) . $type . $data . pack('N', crc32($type . $data));
}

/** An RGB picture as PNG; $colour gives the three values of a point. */
function png(int $width, int $height, callable $colour): string
{
    $lines = '';
    for ($y = 0; $y < $height; $y++) {
        $lines .= "\0";
        for ($x = 0; $x < $width; $x++) {
            [$r, $g, $b] = $colour($x, $y);
            $lines .= chr($r & 255) . chr($g & 255) . chr($b & 255);
        }
    }
    return "\x89PNG\r\n\x1a\n" . chunk('IHDR', pack('NNCCCCC', $width, $height, 8, 2, 0, 0, 0))
        . chunk('IDAT', gzcompress($lines, 6)) . chunk('IEND', '');
}

[, $folder] = $argv;
mt_srand(7);
for ($n = 0; $n < 24; $n++) {
    $cx = mt_rand(60, 180);
    $cy = mt_rand(50, 130);
    $hue = mt_rand(0, 120);
    // Some grain makes it as large as a photograph.
    $grain = 1 + $n % 8;
    file_put_contents(sprintf('%s/photo-%02d.png', $folder, $n), png(240, 180, function (int $x, int $y) use ($cx, $cy, $hue, $grain): array {
        $d = (int) hypot($x - $cx, $y - $cy);
        $g = mt_rand(0, $grain);
        return [120 + $hue - intdiv($d, 2) + $g, 110 + intdiv($y, 3) + $g, 200 - $hue - intdiv($d, 3) + $g];
    }));
}
file_put_contents("$folder/logo.png", png(220, 60, fn (int $x, int $y): array =>
    abs($y - 30) < 22 && ($x % 44) < 30 ? [140, 47 + $y, 27] : [255, 255, 255]));
