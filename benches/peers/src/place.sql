-- One order in one statement and one transaction. $1 id, $2 key, $3 fingerprint, $4 sku, $5 quantity, $6 customer,
-- $7 payment token, $8 placed at. No row: sold out, no such SKU, or no customer where one is needed.
WITH known AS (
    SELECT id, fingerprint, unit_price, placed_at_ms FROM orders WHERE key = $2
), sold AS (
    UPDATE stock SET available = available - $5
    WHERE sku = $4 AND available >= $5 AND (per_customer IS NULL OR $6::text IS NOT NULL)
      AND NOT EXISTS (SELECT FROM known)
    RETURNING price, per_customer
), counted AS (
    INSERT INTO taken (sku, customer, units, cap)
    SELECT $4, $6, $5, per_customer FROM sold WHERE per_customer IS NOT NULL
    ON CONFLICT (sku, customer) DO UPDATE SET units = taken.units + EXCLUDED.units, cap = EXCLUDED.cap
), placed AS (
    INSERT INTO orders (id, key, fingerprint, sku, quantity, customer, payment_token, unit_price, placed_at_ms)
    SELECT $1, $2, $3, $4, $5, $6, $7, price, $8 FROM sold
    RETURNING id, fingerprint, unit_price, placed_at_ms
)
SELECT id, fingerprint, unit_price, placed_at_ms, false AS replayed FROM placed
UNION ALL
SELECT id, fingerprint, unit_price, placed_at_ms, true FROM known
