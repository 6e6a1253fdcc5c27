//! Snapshots of every kind of entity: the bytes as they are, and with the checksum that their entity's id asks for.
//!
//! Must hold: what is decoded belongs to the entity asked for, and is encoded and decoded to the same again.

use holdfast_core::{CartId, EntityId, OrderId, SkuId};
use holdfast_persistence::{decode_snapshot, encode_snapshot};

/// The entities that the golden snapshots are of.
fn entities() -> Vec<EntityId> {
    let sku = SkuId::parse("HEADPHONES-01.black").ok();
    let of_sku = sku.into_iter().flat_map(|sku| [EntityId::Stock(sku.clone()), EntityId::Product(sku)]);
    of_sku
        .chain([
            EntityId::Cart(CartId::from_u128(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210)),
            EntityId::Order(OrderId::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)),
        ])
        .collect()
}

pub(crate) fn run(bytes: &[u8]) {
    for entity in entities() {
        check(&entity, bytes);
        check(&entity, &sealed(&entity, bytes));
        // A golden snapshot has its own checksum at its end; what was made from one has a wrong one there.
        if let Some((body, _)) = bytes.split_last_chunk::<4>() {
            check(&entity, &sealed(&entity, body));
        }
    }
}

fn check(entity: &EntityId, bytes: &[u8]) {
    let Ok((version, state)) = decode_snapshot(entity, bytes) else { return };
    assert_eq!((state.id(), state.version()), (entity.clone(), version), "a snapshot of another entity or version");
    let encoded = encode_snapshot(&state.as_ref()).unwrap_or_else(|error| panic!("{state:?}: {error}"));
    let again = decode_snapshot(entity, &encoded.bytes);
    assert!(
        again.as_ref().is_ok_and(|again| *again == (version, state.clone())),
        "{state:?} was decoded, and {again:?} after it was encoded"
    );
}

/// The body with the checksum that an entry of this entity has.
fn sealed(entity: &EntityId, body: &[u8]) -> Vec<u8> {
    let id = match entity {
        EntityId::Stock(sku) | EntityId::Product(sku) => sku.as_str().as_bytes().to_vec(),
        EntityId::Cart(cart) => cart.as_u128().to_le_bytes().to_vec(),
        EntityId::Order(order) => order.as_u128().to_le_bytes().to_vec(),
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&id), body);
    [body, &crc.to_le_bytes()[..]].concat()
}
