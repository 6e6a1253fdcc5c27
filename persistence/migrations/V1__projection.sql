-- The relational projection: what the journal says, as tables that people can query (ADR 0012).
--
-- Written by one projector, batch by batch, each batch with its watermarks in one transaction. Nobody else writes here.
-- Names carry no schema: a connection's search_path says which one, so that a rebuild can fill a second one beside it.
--
-- No foreign keys: the journal is the truth and cannot hold a line without its order. A key checked per row would cost a
-- look-up per row, and would forbid a table to be filled before another. Every index below answers a question somebody asks
-- every day; every other one would be paid for by each checkout.

-- Whose data it is ----------------------------------------------------------------------------------------------------

CREATE TABLE store (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    store_id   bytea NOT NULL CHECK (octet_length(store_id) = 16),
    shards     int2 NOT NULL CHECK (shards BETWEEN 1 AND 1024),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE store IS 'Whose data this is: one row. Another store is refused.';
COMMENT ON COLUMN store.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN store.store_id IS 'The 16 bytes that name the data folder, as in its meta file.';
COMMENT ON COLUMN store.shards IS 'Number of shards of the deployment; fixed for its life.';
COMMENT ON COLUMN store.created_at IS 'When this schema was first filled.';

CREATE TABLE projection_watermarks (
    shard      int2 PRIMARY KEY,
    seq        int8 NOT NULL CHECK (seq >= 0),
    at         timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);
COMMENT ON TABLE projection_watermarks IS 'How far the tables are, per shard. Moved in the transaction that writes the rows.';
COMMENT ON COLUMN projection_watermarks.shard IS 'The shard, from 0.';
COMMENT ON COLUMN projection_watermarks.seq IS 'Every journal record of the shard up to this sequence number is contained, none behind it; 0: none.';
COMMENT ON COLUMN projection_watermarks.at IS 'When the last contained record was decided.';
COMMENT ON COLUMN projection_watermarks.updated_at IS 'When the watermark was moved.';

CREATE TABLE entity_snapshots (
    shard      int2 NOT NULL,
    kind       int2 NOT NULL CHECK (kind BETWEEN 1 AND 4),
    entity     bytea NOT NULL,
    version    int8 NOT NULL,
    state      bytea NOT NULL,
    PRIMARY KEY (shard, kind, entity)
) WITH (fillfactor = 80);
-- A state does not compress well, and a large one is written often.
ALTER TABLE entity_snapshots ALTER COLUMN state SET STORAGE EXTERNAL;
COMMENT ON TABLE entity_snapshots IS 'The state of every entity as of the watermarks: what a node with an empty disk recovers from.';
COMMENT ON COLUMN entity_snapshots.shard IS 'The shard the entity lives in.';
COMMENT ON COLUMN entity_snapshots.kind IS '1 stock, 2 product, 3 cart, 4 order.';
COMMENT ON COLUMN entity_snapshots.entity IS 'The entity id: the text of a SKU, or 16 bytes, little-endian.';
COMMENT ON COLUMN entity_snapshots.version IS 'How many events led to the state.';
COMMENT ON COLUMN entity_snapshots.state IS 'codec | schema version | kind | version | payload | crc32c, as in the snapshots on disk.';

-- Who buys --------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id          uuid PRIMARY KEY,
    customer_id text COLLATE "C" NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
COMMENT ON TABLE users IS 'One row per customer who ordered under a name. Guests have none: an order''s buyer_id tells them apart.';
COMMENT ON COLUMN users.id IS 'Derived from customer_id: the same in every rebuild.';
COMMENT ON COLUMN users.customer_id IS 'The name the storefront gave.';
COMMENT ON COLUMN users.created_at IS 'When the first order under this name was placed.';
COMMENT ON COLUMN users.updated_at IS 'The same: nothing else is known of a customer yet.';

CREATE TABLE addresses (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('shipping', 'billing')),
    name        text NOT NULL,
    lines       text[] NOT NULL,
    city        text NOT NULL,
    postal_code text NOT NULL,
    region      text,
    country     char(2) NOT NULL,
    version     int8 NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX addresses_of_user ON addresses (user_id);
COMMENT ON TABLE addresses IS 'Addresses of customers. Empty today: an order does not take one yet. The table is here so that reports need not change.';
COMMENT ON COLUMN addresses.id IS 'The address.';
COMMENT ON COLUMN addresses.user_id IS 'Whose it is: users.id.';
COMMENT ON COLUMN addresses.kind IS 'What it is for.';
COMMENT ON COLUMN addresses.name IS 'Who receives there.';
COMMENT ON COLUMN addresses.lines IS 'Street, house and whatever else, line by line.';
COMMENT ON COLUMN addresses.city IS 'The city.';
COMMENT ON COLUMN addresses.postal_code IS 'The postal code as written.';
COMMENT ON COLUMN addresses.region IS 'State or province, where a country has them.';
COMMENT ON COLUMN addresses.country IS 'ISO 3166-1, two letters.';
COMMENT ON COLUMN addresses.version IS 'Guards against an older row.';
COMMENT ON COLUMN addresses.created_at IS 'When it was given.';
COMMENT ON COLUMN addresses.updated_at IS 'When it last changed.';

-- What is sold ----------------------------------------------------------------------------------------------------------

CREATE TABLE categories (
    id         uuid PRIMARY KEY,
    path       text COLLATE "C" NOT NULL UNIQUE,
    name       text NOT NULL,
    parent_id  uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE categories IS 'Every category a product was ever in, and those above it.';
COMMENT ON COLUMN categories.id IS 'Derived from path: the same in every rebuild.';
COMMENT ON COLUMN categories.path IS 'The whole path, such as audio/headphones.';
COMMENT ON COLUMN categories.name IS 'The last part of the path.';
COMMENT ON COLUMN categories.parent_id IS 'The category above: categories.id; none at the top.';
COMMENT ON COLUMN categories.created_at IS 'When a product was first put into it.';
COMMENT ON COLUMN categories.updated_at IS 'The same: a category has nothing that changes.';

CREATE TABLE products (
    id          uuid PRIMARY KEY,
    sku         text COLLATE "C" NOT NULL UNIQUE,
    name        text NOT NULL,
    description text NOT NULL,
    price       numeric NOT NULL,
    currency    char(3) NOT NULL,
    category_id uuid,
    images      jsonb NOT NULL,
    metadata    jsonb NOT NULL,
    listed      boolean NOT NULL,
    version     int8 NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX products_in_category ON products (category_id);
COMMENT ON TABLE products IS 'The catalog, products taken out of it included.';
COMMENT ON COLUMN products.id IS 'Derived from sku: the same in every rebuild, and in inventory, order_items and stock_movements.';
COMMENT ON COLUMN products.sku IS 'The stock-keeping unit as the merchant writes it.';
COMMENT ON COLUMN products.name IS 'The title.';
COMMENT ON COLUMN products.description IS 'The text below it; may be empty.';
COMMENT ON COLUMN products.price IS 'Price of one unit, in major units of currency.';
COMMENT ON COLUMN products.currency IS 'ISO 4217.';
COMMENT ON COLUMN products.category_id IS 'categories.id; none without a category.';
COMMENT ON COLUMN products.images IS 'Image addresses, a list in order.';
COMMENT ON COLUMN products.metadata IS 'The merchant''s own keys and values.';
COMMENT ON COLUMN products.listed IS 'Whether it can be bought; false once it was taken out of the catalog (the rest is what it last was).';
COMMENT ON COLUMN products.version IS 'How many events led to this row.';
COMMENT ON COLUMN products.created_at IS 'When it first came into the catalog.';
COMMENT ON COLUMN products.updated_at IS 'When it last changed.';

CREATE TABLE product_variants (
    id         uuid PRIMARY KEY,
    product_id uuid NOT NULL,
    sku        text COLLATE "C" NOT NULL,
    name       text NOT NULL,
    options    jsonb NOT NULL,
    position   int2 NOT NULL,
    version    int8 NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (product_id, position)
);
COMMENT ON TABLE product_variants IS 'Other SKUs of the same article, as the product lists them now. Each is a product of its own as well.';
COMMENT ON COLUMN product_variants.id IS 'Derived from product and position: the same in every rebuild.';
COMMENT ON COLUMN product_variants.product_id IS 'Which product lists it: products.id.';
COMMENT ON COLUMN product_variants.sku IS 'The variant''s own SKU.';
COMMENT ON COLUMN product_variants.name IS 'What sets it apart, such as M / black.';
COMMENT ON COLUMN product_variants.options IS 'Option to value, such as size to M.';
COMMENT ON COLUMN product_variants.position IS 'Its place in the list, from 0.';
COMMENT ON COLUMN product_variants.version IS 'The product''s version when it was given these details.';
COMMENT ON COLUMN product_variants.created_at IS 'When the product was given the details it is part of.';
COMMENT ON COLUMN product_variants.updated_at IS 'The same: details are replaced as a whole.';

-- What there is ---------------------------------------------------------------------------------------------------------

CREATE TABLE inventory (
    product_id         uuid PRIMARY KEY,
    sku                text COLLATE "C" NOT NULL UNIQUE,
    on_hand            int8 NOT NULL,
    held               int8 NOT NULL,
    allocated          int8 NOT NULL,
    available          int8 NOT NULL GENERATED ALWAYS AS (on_hand - held - allocated) STORED CHECK (available >= 0),
    fulfilled          int8 NOT NULL,
    opens_at           timestamptz,
    closes_at          timestamptz,
    per_order_limit    int8,
    per_customer_limit int8,
    version            int8 NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
-- One row of a hot SKU is written by every batch: room for many versions of it on its page.
) WITH (fillfactor = 25);
COMMENT ON TABLE inventory IS 'The units of every SKU as of the watermarks: on_hand = available + held + allocated.';
COMMENT ON COLUMN inventory.product_id IS 'Derived from sku: products.id.';
COMMENT ON COLUMN inventory.sku IS 'The stock-keeping unit.';
COMMENT ON COLUMN inventory.on_hand IS 'Units in the house.';
COMMENT ON COLUMN inventory.held IS 'Units under a hold that expires.';
COMMENT ON COLUMN inventory.allocated IS 'Units bound to confirmed orders.';
COMMENT ON COLUMN inventory.available IS 'Units that can be sold; never negative.';
COMMENT ON COLUMN inventory.fulfilled IS 'Units that left the house in orders, over all time.';
COMMENT ON COLUMN inventory.opens_at IS 'Sold from then on; none: always.';
COMMENT ON COLUMN inventory.closes_at IS 'Sold until then; none: always.';
COMMENT ON COLUMN inventory.per_order_limit IS 'The most units of one order; none: no limit.';
COMMENT ON COLUMN inventory.per_customer_limit IS 'The most units of one customer; none: no limit.';
COMMENT ON COLUMN inventory.version IS 'How many events led to this row.';
COMMENT ON COLUMN inventory.created_at IS 'When the first units were counted.';
COMMENT ON COLUMN inventory.updated_at IS 'When it last changed.';

CREATE TABLE stock_movements (
    id         uuid PRIMARY KEY,
    product_id uuid NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('received', 'adjusted', 'allocated', 'deallocated', 'fulfilled')),
    quantity   int8 NOT NULL,
    order_id   uuid,
    line       int2,
    reason     text,
    created_at timestamptz NOT NULL
);
CREATE INDEX stock_movements_of_product ON stock_movements (product_id, created_at);
COMMENT ON TABLE stock_movements IS 'What happened to units for good, one row per event. Holds come and go a hundred times as often and are in the journal only.';
COMMENT ON COLUMN stock_movements.id IS 'The record''s place in the journal: shard in the upper 64 bits, its sequence number in the lower.';
COMMENT ON COLUMN stock_movements.product_id IS 'products.id.';
COMMENT ON COLUMN stock_movements.kind IS 'received and adjusted change on_hand; allocated and deallocated bind and free units; fulfilled takes them out of the house.';
COMMENT ON COLUMN stock_movements.quantity IS 'Units, positive; of adjusted the difference, with its sign.';
COMMENT ON COLUMN stock_movements.order_id IS 'For which order: orders.id.';
COMMENT ON COLUMN stock_movements.line IS 'For which line of it.';
COMMENT ON COLUMN stock_movements.reason IS 'Why a count was corrected.';
COMMENT ON COLUMN stock_movements.created_at IS 'When it was decided.';

-- What is meant to be bought --------------------------------------------------------------------------------------------

CREATE TABLE carts (
    id         uuid PRIMARY KEY,
    status     text NOT NULL CHECK (status IN ('open', 'checking_out', 'converted', 'merged', 'expired')),
    currency   char(3) NOT NULL,
    lines      int2 NOT NULL,
    units      int8 NOT NULL,
    order_id   uuid,
    merged_id  uuid,
    expires_at timestamptz NOT NULL,
    version    int8 NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE carts IS 'Every cart and what became of it.';
COMMENT ON COLUMN carts.id IS 'The cart id without its prefix.';
COMMENT ON COLUMN carts.status IS 'Where it stands.';
COMMENT ON COLUMN carts.currency IS 'ISO 4217; the currency of its order.';
COMMENT ON COLUMN carts.lines IS 'How many SKUs are in it.';
COMMENT ON COLUMN carts.units IS 'How many units are in it.';
COMMENT ON COLUMN carts.order_id IS 'The order it becomes or became: orders.id.';
COMMENT ON COLUMN carts.merged_id IS 'The cart its lines went into: carts.id.';
COMMENT ON COLUMN carts.expires_at IS 'When it lapses if nobody touches it.';
COMMENT ON COLUMN carts.version IS 'How many events led to this row.';
COMMENT ON COLUMN carts.created_at IS 'When it began.';
COMMENT ON COLUMN carts.updated_at IS 'When it last changed.';

-- What was bought -------------------------------------------------------------------------------------------------------

CREATE TABLE orders (
    id            uuid PRIMARY KEY,
    order_number  text COLLATE "C" NOT NULL UNIQUE,
    user_id       uuid,
    buyer_id      uuid NOT NULL,
    status        text NOT NULL CHECK (status IN ('placed', 'authorized', 'confirmed', 'shipped', 'delivered', 'canceled',
                      'expired', 'partially_refunded', 'refunded')),
    total         numeric NOT NULL,
    currency      char(3) NOT NULL,
    lines         int2 NOT NULL,
    units         int8 NOT NULL,
    cancel_reason text CHECK (cancel_reason IN ('buyer', 'merchant', 'payment_declined', 'stock_lost')),
    placed_at     timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    confirmed_at  timestamptz,
    ended_at      timestamptz,
    version       int8 NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
-- Only columns without an index change, so an order that goes on stays on its page.
) WITH (fillfactor = 80);
CREATE INDEX orders_by_time ON orders (placed_at, id);
CREATE INDEX orders_of_user ON orders (user_id, placed_at, id) WHERE user_id IS NOT NULL;
COMMENT ON TABLE orders IS 'Every order and where it stands.';
COMMENT ON COLUMN orders.id IS 'The order id without its prefix.';
COMMENT ON COLUMN orders.order_number IS 'The order id as the buyer sees it: ord_ and 32 hexadecimal digits.';
COMMENT ON COLUMN orders.user_id IS 'users.id; none for a guest.';
COMMENT ON COLUMN orders.buyer_id IS 'Who may read it: a digest of the token returned at checkout.';
COMMENT ON COLUMN orders.status IS 'Where it stands, in the words of the API.';
COMMENT ON COLUMN orders.total IS 'The sum of its lines, in major units of currency.';
COMMENT ON COLUMN orders.currency IS 'ISO 4217.';
COMMENT ON COLUMN orders.lines IS 'How many lines it has.';
COMMENT ON COLUMN orders.units IS 'How many units it has over all lines.';
COMMENT ON COLUMN orders.cancel_reason IS 'Why it was canceled.';
COMMENT ON COLUMN orders.placed_at IS 'When it was placed.';
COMMENT ON COLUMN orders.expires_at IS 'Without an authorization by then it expires.';
COMMENT ON COLUMN orders.confirmed_at IS 'When every line was allocated.';
COMMENT ON COLUMN orders.ended_at IS 'When it was canceled or expired.';
COMMENT ON COLUMN orders.version IS 'How many events led to this row.';
COMMENT ON COLUMN orders.created_at IS 'When it was placed.';
COMMENT ON COLUMN orders.updated_at IS 'When it last changed.';

CREATE TABLE order_items (
    order_id   uuid NOT NULL,
    line       int2 NOT NULL,
    product_id uuid NOT NULL,
    sku        text COLLATE "C" NOT NULL,
    quantity   int8 NOT NULL,
    unit_price numeric NOT NULL,
    line_total numeric NOT NULL,
    currency   char(3) NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE INDEX order_items_of_product ON order_items (product_id, created_at);
COMMENT ON TABLE order_items IS 'The lines of every order, frozen when it was placed. They never change.';
COMMENT ON COLUMN order_items.order_id IS 'orders.id.';
COMMENT ON COLUMN order_items.line IS 'The line''s number, from 0.';
COMMENT ON COLUMN order_items.product_id IS 'products.id.';
COMMENT ON COLUMN order_items.sku IS 'The stock-keeping unit.';
COMMENT ON COLUMN order_items.quantity IS 'Units.';
COMMENT ON COLUMN order_items.unit_price IS 'Price of one unit when the order was placed, in major units.';
COMMENT ON COLUMN order_items.line_total IS 'quantity times unit_price.';
COMMENT ON COLUMN order_items.currency IS 'ISO 4217.';
COMMENT ON COLUMN order_items.created_at IS 'When the order was placed.';

CREATE TABLE payments (
    order_id   uuid PRIMARY KEY,
    status     text NOT NULL CHECK (status IN ('pending', 'authorized', 'declined', 'captured', 'voided', 'failed')),
    reference  text,
    reason     text,
    amount     numeric NOT NULL,
    captured   numeric NOT NULL,
    refunded   numeric NOT NULL,
    currency   char(3) NOT NULL,
    authorized_at timestamptz,
    captured_at timestamptz,
    version    int8 NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE payments IS 'The payment of every order: an order has one, under its id.';
COMMENT ON COLUMN payments.order_id IS 'orders.id.';
COMMENT ON COLUMN payments.status IS 'Where it stands.';
COMMENT ON COLUMN payments.reference IS 'The gateway''s name for the authorization.';
COMMENT ON COLUMN payments.reason IS 'The gateway''s reason code, of a declined or failed payment.';
COMMENT ON COLUMN payments.amount IS 'What is to be paid, in major units of currency.';
COMMENT ON COLUMN payments.captured IS 'What was captured: the amount or nothing.';
COMMENT ON COLUMN payments.refunded IS 'What went back for certain; pending refunds are not in it.';
COMMENT ON COLUMN payments.currency IS 'ISO 4217.';
COMMENT ON COLUMN payments.authorized_at IS 'When the gateway approved it.';
COMMENT ON COLUMN payments.captured_at IS 'When the money was captured.';
COMMENT ON COLUMN payments.version IS 'The order''s version when this last changed.';
COMMENT ON COLUMN payments.created_at IS 'When the order was placed.';
COMMENT ON COLUMN payments.updated_at IS 'When it last changed.';

CREATE TABLE refunds (
    id         uuid PRIMARY KEY,
    order_id   uuid NOT NULL,
    number     int2 NOT NULL,
    status     text NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    reason     text,
    amount     numeric NOT NULL,
    currency   char(3) NOT NULL,
    version    int8 NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (order_id, number)
) WITH (fillfactor = 80);
COMMENT ON TABLE refunds IS 'Money given back after it was captured.';
COMMENT ON COLUMN refunds.id IS 'Derived from order and number: the same in every rebuild.';
COMMENT ON COLUMN refunds.order_id IS 'orders.id.';
COMMENT ON COLUMN refunds.number IS 'Its place among the order''s refunds, from 0.';
COMMENT ON COLUMN refunds.status IS 'What became of it.';
COMMENT ON COLUMN refunds.reason IS 'The gateway''s reason code, of a failed one.';
COMMENT ON COLUMN refunds.amount IS 'How much, in major units of currency.';
COMMENT ON COLUMN refunds.currency IS 'ISO 4217.';
COMMENT ON COLUMN refunds.version IS 'The order''s version when this last changed.';
COMMENT ON COLUMN refunds.created_at IS 'When it was asked for.';
COMMENT ON COLUMN refunds.updated_at IS 'When it last changed.';

CREATE TABLE shipments (
    order_id     uuid PRIMARY KEY,
    status       text NOT NULL CHECK (status IN ('shipped', 'delivered')),
    shipped_at   timestamptz NOT NULL,
    delivered_at timestamptz,
    version      int8 NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE shipments IS 'The shipment of every order that left the house: an order has one, under its id.';
COMMENT ON COLUMN shipments.order_id IS 'orders.id.';
COMMENT ON COLUMN shipments.status IS 'Whether it arrived.';
COMMENT ON COLUMN shipments.shipped_at IS 'When it left the house.';
COMMENT ON COLUMN shipments.delivered_at IS 'When it arrived.';
COMMENT ON COLUMN shipments.version IS 'The order''s version when this last changed.';
COMMENT ON COLUMN shipments.created_at IS 'When it left the house.';
COMMENT ON COLUMN shipments.updated_at IS 'When it last changed.';
