-- The auction site's tables. Money is in cents, times are UTC.
CREATE DATABASE auction CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
USE auction;

CREATE TABLE categories (
  id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  name VARCHAR(50) NOT NULL,
  about VARCHAR(200) NOT NULL
) ENGINE=InnoDB;

CREATE TABLE regions (
  id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  name VARCHAR(50) NOT NULL
) ENGINE=InnoDB;

CREATE TABLE users (
  id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  nickname VARCHAR(40) NOT NULL UNIQUE,
  name VARCHAR(80) NOT NULL,
  password VARCHAR(72) NOT NULL,
  region SMALLINT UNSIGNED NOT NULL,
  rating INT NOT NULL DEFAULT 0,
  joined DATETIME NOT NULL,
  FOREIGN KEY (region) REFERENCES regions (id)
) ENGINE=InnoDB;

CREATE TABLE items (
  id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  name VARCHAR(100) NOT NULL,
  description TEXT NOT NULL,
  seller INT UNSIGNED NOT NULL,
  category SMALLINT UNSIGNED NOT NULL,
  region SMALLINT UNSIGNED NOT NULL,
  start_price INT UNSIGNED NOT NULL,
  reserve INT UNSIGNED,
  buy_now INT UNSIGNED,
  quantity INT UNSIGNED NOT NULL DEFAULT 1,
  bid_count INT UNSIGNED NOT NULL DEFAULT 0,
  max_bid INT UNSIGNED,
  opened DATETIME NOT NULL,
  closes DATETIME NOT NULL,
  KEY by_close (closes),
  KEY by_category (category, closes),
  KEY by_region (category, region, closes),
  FOREIGN KEY (seller) REFERENCES users (id),
  FOREIGN KEY (category) REFERENCES categories (id),
  FOREIGN KEY (region) REFERENCES regions (id)
) ENGINE=InnoDB;

CREATE TABLE bids (
  id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  item INT UNSIGNED NOT NULL,
  bidder INT UNSIGNED NOT NULL,
  amount INT UNSIGNED NOT NULL,
  quantity INT UNSIGNED NOT NULL,
  made DATETIME NOT NULL,
  KEY by_item (item, amount),
  KEY by_bidder (bidder, item),
  FOREIGN KEY (item) REFERENCES items (id),
  FOREIGN KEY (bidder) REFERENCES users (id)
) ENGINE=InnoDB;

CREATE TABLE purchases (
  id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  item INT UNSIGNED NOT NULL,
  buyer INT UNSIGNED NOT NULL,
  quantity INT UNSIGNED NOT NULL,
  price INT UNSIGNED NOT NULL,
  made DATETIME NOT NULL,
  FOREIGN KEY (item) REFERENCES items (id),
  FOREIGN KEY (buyer) REFERENCES users (id)
) ENGINE=InnoDB;

CREATE TABLE comments (
  id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
  author INT UNSIGNED NOT NULL,
  subject INT UNSIGNED NOT NULL,
  item INT UNSIGNED NOT NULL,
  rating TINYINT UNSIGNED NOT NULL,
  remark VARCHAR(2000) NOT NULL,
  made DATETIME NOT NULL,
  FOREIGN KEY (author) REFERENCES users (id),
  FOREIGN KEY (subject) REFERENCES users (id),
  FOREIGN KEY (item) REFERENCES items (id)
) ENGINE=InnoDB;

-- The web server's account is let in by its socket credentials, without a password.
CREATE USER 'www-data'@'localhost' IDENTIFIED VIA unix_socket;
GRANT SELECT, INSERT, UPDATE ON auction.* TO 'www-data'@'localhost';
