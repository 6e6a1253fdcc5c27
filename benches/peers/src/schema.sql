-- A SKU's row is updated by every order of it: room in its page for new versions keeps the updates out of the index.
CREATE TABLE stock (
    sku          text   PRIMARY KEY,
    on_hand      bigint NOT NULL,
    available    bigint NOT NULL CHECK (available >= 0),
    price        bigint NOT NULL,
    per_customer bigint
) WITH (fillfactor = 10);

-- What a customer has of a SKU that is limited. The check refuses the order that would pass the limit, whole.
CREATE TABLE taken (
    sku      text   NOT NULL,
    customer text   NOT NULL,
    units    bigint NOT NULL,
    cap      bigint NOT NULL,
    PRIMARY KEY (sku, customer),
    CONSTRAINT within_limit CHECK (units <= cap)
);

CREATE TABLE orders (
    id            uuid   PRIMARY KEY,
    key           text   NOT NULL,
    fingerprint   bigint NOT NULL,
    sku           text   NOT NULL,
    quantity      bigint NOT NULL,
    customer      text,
    payment_token text   NOT NULL,
    unit_price    bigint NOT NULL,
    placed_at_ms  bigint NOT NULL,
    CONSTRAINT one_order_per_key UNIQUE (key)
);
