-- One order, whole or not at all: Redis runs a script alone, and writes its effects to the append-only file as one.
-- KEYS: the idempotency key, the stock, what each customer has, the order
-- ARGV: order id, fingerprint, quantity, customer ('' for none), placed at, the order's own fields
local known = redis.call('GET', KEYS[1])
if known then
  return { 'known', known }
end
local stock = redis.call('HMGET', KEYS[2], 'available', 'price', 'limit')
if not stock[1] then
  return { 'missing', '' }
end
local quantity = tonumber(ARGV[3])
if tonumber(stock[1]) < quantity then
  return { 'sold_out', stock[1] }
end
if stock[3] then
  if ARGV[4] == '' then
    return { 'customer_required', '' }
  end
  local taken = tonumber(redis.call('HGET', KEYS[3], ARGV[4]) or '0')
  if taken + quantity > tonumber(stock[3]) then
    return { 'over_limit', '' }
  end
  redis.call('HINCRBY', KEYS[3], ARGV[4], quantity)
end
redis.call('HINCRBY', KEYS[2], 'available', -quantity)
redis.call('SET', KEYS[4], ARGV[6] .. stock[2])
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. stock[2] .. ' ' .. ARGV[5])
return { 'placed', stock[2] }
