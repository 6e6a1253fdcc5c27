//! The codec against honest values and hostile bytes.

use holdfast_core::{
    Currency, CustomerId, HoldId, Money, OrderId, Quantity, Timestamp,
    order::{OrderRejection, OrderStatus},
    product::{ProductDetails, ProductEvent},
    stock::StockEvent,
};
use proptest::{collection::vec, prelude::*};

use super::*;

const KINDS: [EntityKind; 4] = [EntityKind::Stock, EntityKind::Product, EntityKind::Cart, EntityKind::Order];

fn round_trip(event: &Event) -> Event {
    let mut payload = Vec::new();
    encode_event(event, &mut payload).unwrap();
    decode_event(CODEC, SCHEMA_VERSION, event.kind(), event_type(event), &payload).unwrap()
}

fn texts() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..60).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn stock_events_survive_the_round_trip(order: u128, line: u16, units in 1_i64..=1_000_000, at: i64, named: bool) {
        let customer = named.then(|| CustomerId::parse("customer-1").unwrap());
        let hold = HoldId { order: OrderId::from_u128(order), line };
        let quantity = Quantity::new(units).unwrap();
        let event = Event::Stock(StockEvent::Held { hold, quantity, expires_at: Timestamp::from_millis(at), customer });
        prop_assert_eq!(round_trip(&event), event);
    }

    #[test]
    fn product_events_survive_the_round_trip(
        name in texts(),
        description in texts(),
        minor: i64,
        images in vec(texts(), 0..5),
        metadata in prop::collection::btree_map(texts(), texts(), 0..5),
    ) {
        let price = Money::new(minor, Currency::EUR);
        let details = ProductDetails {
            name, description, price, category: String::new(), images, variants: Vec::new(), metadata,
        };
        let event = Event::Product(ProductEvent::Created(details));
        prop_assert_eq!(round_trip(&event), event);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in vec(any::<u8>(), 0..400), codec in 0_u8..3, schema in 0_u8..3, event: u8) {
        for kind in KINDS {
            let _ = decode_event(codec, schema, kind, event, &bytes);
            let _ = decode_state(codec, schema, kind, &bytes);
            let _ = decode_id(kind, &bytes);
        }
    }

    #[test]
    fn an_encoded_event_cut_short_or_lengthened_is_refused(units in 1_i64..=1_000_000, reason in texts(), extra: u8) {
        let quantity = Quantity::new(units).unwrap();
        for event in [StockEvent::Received { quantity }, StockEvent::Adjusted { delta: units, reason: reason.clone() }] {
            let event = Event::Stock(event);
            let mut payload = Vec::new();
            encode_event(&event, &mut payload).unwrap();
            let decode = |bytes: &[u8]| decode_event(CODEC, 1, EntityKind::Stock, event_type(&event), bytes);
            for cut in 0..payload.len() {
                prop_assert!(decode(&payload[..cut]).is_err());
            }
            payload.push(extra);
            prop_assert!(matches!(decode(&payload), Err(CodecError::Trailing { trailing: 1 })), "{:?}", decode(&payload));
        }
    }
}

#[test]
fn a_length_far_beyond_the_payload_is_refused_without_reserving_it() {
    // Variant 1 (Adjusted), delta 0, then a text that claims to be 2^64 - 1 bytes long; then one of 2^40.
    for claim in [u64::MAX, 1 << 40, 1 << 32] {
        let mut payload = vec![1, 0, 253];
        payload.extend_from_slice(&claim.to_le_bytes());
        let error = decode_event(CODEC, 1, EntityKind::Stock, 2, &payload).unwrap_err();
        assert!(matches!(error, CodecError::Malformed(_)), "{error}");
    }
}

#[test]
fn what_a_newer_version_wrote_is_refused_by_what_is_new_about_it() {
    let codec = decode_event(2, 1, EntityKind::Stock, 1, &[0, 1]).unwrap_err();
    assert!(matches!(codec, CodecError::UnknownCodec(2)), "{codec}");
    let schema = decode_event(1, 2, EntityKind::Stock, 1, &[0, 1]).unwrap_err();
    assert!(matches!(schema, CodecError::UnknownSchema(2)), "{schema}");
    let event = decode_event(1, 1, EntityKind::Stock, 9, &[0, 1]).unwrap_err();
    assert!(matches!(event, CodecError::EventType { decoded: 1, recorded: 9 }), "{event}");
    let variant = decode_event(1, 1, EntityKind::Stock, 1, &[200, 1]).unwrap_err();
    assert!(matches!(variant, CodecError::Malformed(_)), "{variant}");
}

#[test]
fn a_value_that_its_own_type_refuses_is_refused() {
    // A quantity of zero, and a SKU with a space in it.
    assert!(decode_event(CODEC, 1, EntityKind::Stock, 1, &[0, 0]).is_err());
    assert!(decode_id(EntityKind::Stock, b"two words").is_err());
    assert!(decode_id(EntityKind::Cart, &[0; 15]).is_err());
}

#[test]
fn a_refusal_that_names_an_action_is_read_back_and_an_unknown_action_is_an_error() {
    let actions = ["allocated", "released", "fulfilled", "captured", "voided", "canceled", "shipped", "delivered"];
    for action in actions {
        let refusal = OrderRejection::IllegalTransition { status: OrderStatus::Placed, action };
        let mut payload = Vec::new();
        encode_value(&refusal, &mut payload).unwrap();
        assert_eq!(decode_value::<OrderRejection>(&payload).unwrap(), refusal);
        let last = payload.last_mut().unwrap();
        *last = b'?';
        let error = decode_value::<OrderRejection>(&payload).unwrap_err();
        assert!(matches!(error, CodecError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_value_that_goes_on_or_ends_early_is_an_error() {
    let mut payload = Vec::new();
    encode_value(&("twelve", 12_u64), &mut payload).unwrap();
    assert_eq!(decode_value::<(String, u64)>(&payload).unwrap(), ("twelve".to_owned(), 12));
    for end in 0..payload.len() {
        let error = decode_value::<(String, u64)>(&payload[..end]).unwrap_err();
        assert!(matches!(error, CodecError::Malformed(_)), "{end}: {error}");
    }
    payload.push(0);
    let error = decode_value::<(String, u64)>(&payload).unwrap_err();
    assert!(matches!(error, CodecError::Trailing { trailing: 1 }), "{error}");
}
