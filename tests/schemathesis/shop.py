"""Puts up a shop to ask about, and makes about half of the requests ask about it.

Left alone, nearly every request made up names a product, a cart or an order that is not there, and its answer is 404. Here
every second request that is made to be valid is given a SKU, a cart, an order and a token that are. Requests made to be
wrong are left as they are.

Every schema of an answer is closed before it is checked: a member that is not documented is a failure.
"""

import itertools
import json
import os
import urllib.error
import urllib.request

import schemathesis

URL = os.environ["HOLDFAST_URL"]
ADMIN = "Bearer " + os.environ["HOLDFAST_ADMIN_TOKEN"]
SKUS = ["TEE-BLACK-M", "TEE-BLACK-L", "POSTER", "SOLD-OUT"]

turns = itertools.count()
keys = itertools.count()


def call(method, path, body=None, **headers):
    """Asks the server, and gives the answer's JSON; a refusal is an error of this file."""
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(URL + "/api/v1" + path, data, {"Content-Type": "application/json", **headers}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"null")


def key():
    return f"schemathesis-key-{next(keys):08}"


def put_up():
    """The products, a few carts and orders in different states."""
    for sku in SKUS:
        sale = {"opens_at": "2020-01-01T00:00:00Z", "per_order_limit": 5, "per_customer_limit": 50}
        body = {
            "sku": sku,
            "name": "A thing",
            "price": {"amount_minor": 1999, "currency": "EUR"},
            "units": 0 if sku == "SOLD-OUT" else 1_000_000,
            "sale": None if sku == "POSTER" else sale,
            "images": ["/a.jpg"],
            "metadata": {"brand": "Anvil"},
            "variants": [{"sku": "POSTER", "name": "other", "options": {"size": "L"}}],
        }
        call("POST", "/products", body, Authorization=ADMIN)
    carts = [call("POST", "/cart", {"currency": "EUR"})["token"] for _ in range(12)]
    for token in carts[:9]:
        call("POST", "/cart/items", {"sku": "POSTER", "quantity": 2}, X_Cart_Token=token)
    orders, buyers = [], []
    for number in range(8):
        lines = [{"sku": "POSTER", "quantity": 1}, {"sku": "TEE-BLACK-M", "quantity": 1}]
        body = {"lines": lines, "customer": f"c-{number}", "payment": {"token": "tok_approve"}}
        placed = call("POST", "/orders", body, Idempotency_Key=key())
        orders.append(placed["id"])
        buyers.append("Bearer " + placed["buyer_token"])
    call("PUT", f"/orders/{shipped(orders[0])}/status", {"status": "shipped"}, Authorization=ADMIN)
    return carts, orders, buyers


def shipped(order):
    """Waits until an order can be shipped: its payment is under way at first."""
    for _ in range(500):
        if call("GET", f"/orders/{order}", Authorization=ADMIN)["status"] == "confirmed":
            return order
    raise RuntimeError(f"{order} was never confirmed")


CARTS, ORDERS, BUYERS = put_up()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """No member may be in an answer that is not in the document."""
    for schema in raw_schema["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives every second request what it asks about, and each the token its operation needs."""
    turn = next(turns)
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    if mode is not None and str(getattr(mode, "value", mode)) != "positive":
        return
    operation = f"{case.method.upper()} {case.path}"
    if turn % 8:
        authorize(case, operation, turn)
    if turn % 2 == 0:
        return
    pick = turn // 2
    parameters = case.path_parameters or {}
    if "sku" in parameters:
        parameters["sku"] = SKUS[pick % len(SKUS)]
    if "id" in parameters:
        parameters["id"] = 1 if "/cart/" in case.path else ORDERS[pick % len(ORDERS)]
    fill(case.body, operation, pick)


def authorize(case, operation, turn):
    """The token of whoever may do this, sometimes of somebody else."""
    if "/cart" in operation and operation != "POST /api/v1/cart":
        case.headers["X-Cart-Token"] = CARTS[turn % len(CARTS)]
    elif "/orders" in operation and operation != "POST /api/v1/orders" and turn % 3 == 0:
        case.headers["Authorization"] = BUYERS[turn % len(BUYERS)]
    elif operation != "POST /api/v1/orders":
        case.headers["Authorization"] = ADMIN
    if operation in ("POST /api/v1/orders", "POST /api/v1/orders/{id}/refunds") and turn % 5:
        case.headers["Idempotency-Key"] = key()
    if turn % 4:
        case.headers.pop("If-Match", None)


def fill(body, operation, pick):
    """SKUs that are in the catalog, quantities that are there, a means of payment."""
    if not isinstance(body, dict):
        return
    if operation == "POST /api/v1/orders":
        if pick % 3:
            body["lines"] = [{"sku": SKUS[pick % len(SKUS)], "quantity": pick % 7 + 1}]
            body["cart"] = None
        elif pick % 2:
            body["lines"], body["cart"] = None, CARTS[pick % len(CARTS)]
        body["payment"] = {"token": ["tok_approve", "tok_decline", "tok_approve"][pick % 3]}
        body["customer"] = f"c-{pick % 10}"
    elif operation == "POST /api/v1/cart/items":
        body["sku"] = SKUS[pick % len(SKUS)]
    elif operation == "POST /api/v1/cart/merge":
        body["from"] = CARTS[pick % len(CARTS)]
    elif operation.endswith("/refunds") and pick % 3 == 0:
        body["amount"] = {"amount_minor": 100, "currency": "EUR"}
    elif operation in ("POST /api/v1/products", "PUT /api/v1/products/{sku}"):
        body["price"] = {"amount_minor": 1999, "currency": "EUR"}
        body["images"], body["category"], body["name"] = ["/a.jpg"], "a/b", "A thing"
