//! Bearer tokens and the digests that stand for them. Whoever holds a token may act; the journal and the logs only ever
//! see digests.
//!
//! Invariant: the digests here are on disk inside ids. How they are made never changes; a test holds them to fixed
//! values.

use holdfast_actors::CheckoutSource;
use holdfast_core::{
    BuyerId, CartId, CustomerId, HexDigits, OrderId, Slot,
    order::{PaymentToken, Placement},
};

/// Where a buyer's token begins.
const BUYER_PREFIX: &str = "buy_";
/// Where a cart's token begins.
const CART_PREFIX: &str = "cart_";
/// Hexadecimal digits of a token: 256 bits that nobody guesses.
const TOKEN_DIGITS: usize = 64;

/// A buyer's token: reads the orders made with it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BuyerToken(String);

/// A cart's token: reads and changes the cart.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CartToken(String);

impl BuyerToken {
    /// `text` as a buyer's token, if it is written like one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        is_token(text, BUYER_PREFIX).then(|| Self(text.to_owned()))
    }

    /// The token of an order whose request brought none. It follows from the key of the order and the store's secret,
    /// so a retry gets the same one and nobody else can compute it.
    pub(crate) fn derived(secret: &[u8; 32], key_digest: u128) -> Self {
        let order_key = OrderId::from_key(key_digest, Slot(0)).key_digest();
        let digest = blake3::keyed_hash(secret, &order_key.to_be_bytes());
        Self(with_prefix(BUYER_PREFIX, digest.as_bytes()))
    }

    /// Who the token stands for.
    pub(crate) fn id(&self) -> BuyerId {
        BuyerId::from_u128(first_128(blake3::hash(self.0.as_bytes())))
    }

    /// The token, to be handed to its owner and nobody else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl CartToken {
    /// A new token, from the operating system's randomness.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bits = [0_u8; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(with_prefix(CART_PREFIX, &bits)))
    }

    /// `text` as a cart's token, if it is written like one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        is_token(text, CART_PREFIX).then(|| Self(text.to_owned()))
    }

    /// Which cart the token reaches.
    pub(crate) fn id(&self) -> CartId {
        CartId::from_u128(first_128(blake3::hash(self.0.as_bytes())))
    }

    /// The token, to be handed to its owner and nobody else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The digest of an order's Idempotency-Key within its scope: the customer, where one is named.
pub(crate) fn order_key_digest(customer: Option<&CustomerId>, key: &str) -> u128 {
    let mut digest = Digest::new("order key v1");
    digest.text(customer.map_or("", CustomerId::as_str));
    digest.text(key);
    digest.finish()
}

/// The digest of a refund's Idempotency-Key; its scope is the order.
pub(crate) fn refund_key_digest(order: OrderId, key: &str) -> u128 {
    let mut digest = Digest::new("refund key v1");
    digest.number(order.as_u128());
    digest.text(key);
    digest.finish()
}

/// The digest of a checkout that asks for a cart's lines: another one under the same key is told apart by it. One that names its
/// lines has none.
pub(crate) fn fingerprint(
    buyer: BuyerId,
    customer: Option<&CustomerId>,
    source: &CheckoutSource,
    payment: &PaymentToken,
) -> u128 {
    let CheckoutSource::Cart { cart, .. } = source else { return Placement::OF_LINES };
    let mut digest = Digest::new("checkout v1");
    digest.number(buyer.as_u128());
    digest.text(customer.map_or("", CustomerId::as_str));
    digest.text(payment.as_str());
    digest.text("cart");
    digest.number(cart.as_u128());
    digest.finish()
}

/// A hash over fields, each with its length, so that moving a character from one to the next gives another digest. The
/// fields are gathered first: a hash in one piece costs half of one in many.
struct Digest(Vec<u8>);

impl Digest {
    /// Room for the fields of an order of a line or two, in bytes.
    const TYPICAL_BYTES: usize = 192;

    fn new(purpose: &str) -> Self {
        let mut digest = Self(Vec::with_capacity(Self::TYPICAL_BYTES));
        digest.text(purpose);
        digest
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: u128) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn finish(&self) -> u128 {
        first_128(blake3::hash(&self.0))
    }
}

fn first_128(hash: blake3::Hash) -> u128 {
    let mut first = [0_u8; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(first)
}

fn is_token(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        digits.len() == TOKEN_DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn with_prefix(prefix: &str, bits: &[u8; 32]) -> String {
    let half = |at: usize| {
        let mut half = [0_u8; 16];
        half.copy_from_slice(&bits[at..at + 16]);
        HexDigits::of(u128::from_be_bytes(half))
    };
    [prefix, half(0).as_str(), half(16).as_str()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_prefix_and_64_lower_case_digits() {
        let token = CartToken::random().expect("randomness");
        assert!(CartToken::parse(token.reveal()).is_some());
        assert!(BuyerToken::parse(token.reveal()).is_none());
        assert!(BuyerToken::parse(&format!("buy_{}", "A".repeat(64))).is_none());
        assert!(BuyerToken::parse(&format!("buy_{}", "a".repeat(63))).is_none());
    }

    #[test]
    fn a_derived_token_depends_on_the_key_and_the_secret_and_not_on_the_slot() {
        let token = |secret: u8, key| BuyerToken::derived(&[secret; 32], key).0;
        assert_eq!(token(1, 0xabcd_0000), token(1, 0xabcd_ffff));
        assert_ne!(token(1, 0xabcd_0000), token(2, 0xabcd_0000));
        assert_ne!(token(1, 0xabcd_0000), token(1, 0xabce_0000));
        assert!(BuyerToken::parse(&token(1, 7)).is_some());
    }

    #[test]
    fn the_digests_on_disk_never_change() {
        let customer = CustomerId::parse("c-1").expect("a customer");
        assert_eq!(order_key_digest(Some(&customer), "key-0123456789ab"), ORDER_KEY);
        assert_eq!(BuyerToken(format!("buy_{}", "0".repeat(64))).id().as_u128(), BUYER);
        let cart = CheckoutSource::Cart { cart: CartId::from_u128(2), expected_version: None };
        let payment = PaymentToken::parse("tok_ok").expect("a token");
        assert_eq!(fingerprint(BuyerId::from_u128(1), None, &cart, &payment), FINGERPRINT);
    }

    const ORDER_KEY: u128 = 0xe255_758f_7f4b_476d_abd2_c85b_d3d6_2db0;
    const BUYER: u128 = 0x4b4d_2943_b846_42dd_e959_2aca_d403_1209;
    const FINGERPRINT: u128 = 0xe239_1d78_1c66_2047_8865_f4e9_213c_278e;

    #[test]
    fn a_key_means_something_else_for_another_customer() {
        let customer = |text| CustomerId::parse(text).expect("a customer");
        let key = "key-0123456789ab";
        assert_ne!(order_key_digest(None, key), order_key_digest(Some(&customer("c")), key));
        assert_ne!(order_key_digest(Some(&customer("c")), "1key"), order_key_digest(Some(&customer("c1")), "key"));
    }
}
