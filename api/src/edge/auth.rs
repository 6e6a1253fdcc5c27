//! Who is calling: nobody in particular, a buyer with a token, a cart's owner, or the admin.
//!
//! Invariant (I5): a token opens what it was made for and nothing else, and a wrong one cannot be told from none by
//! what a reader is answered: 404 either way.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};

use super::{
    App,
    problem::{Kind, Problem},
    token::{BuyerToken, CartToken},
};

/// The header a cart's token comes in.
pub const CART_TOKEN: HeaderName = HeaderName::from_static("x-cart-token");

/// What `Authorization` says.
pub(crate) enum Caller {
    /// Nothing.
    Anonymous,
    /// Someone who placed an order, or will under this token.
    Buyer(BuyerToken),
    /// The merchant.
    Admin,
    /// Something that means nothing here.
    Unknown,
}

/// The merchant, or the request is refused.
pub(crate) struct Admin;

/// The owner of a cart, or the request is refused.
pub(crate) struct CartOwner(pub(crate) CartToken);

impl Caller {
    /// Reads the header.
    pub(crate) fn of(headers: &HeaderMap, app: &App) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Self::Anonymous };
        let Some(token) = value.to_str().ok().and_then(bearer) else { return Self::Unknown };
        if let Some(buyer) = BuyerToken::parse(token) {
            return Self::Buyer(buyer);
        }
        match &app.settings.admin.token {
            Some(admin) if admin.matches(token) => Self::Admin,
            _ => Self::Unknown,
        }
    }

    /// Whether it is the merchant.
    pub(crate) fn is_admin(&self) -> bool {
        matches!(self, Self::Admin)
    }
}

/// The token of a `Bearer` credential; the scheme's case does not count (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The answer to a call that needs a token and has none that is valid.
pub(crate) fn unauthorized() -> Problem {
    Problem::new(Kind::Unauthorized).header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers, app))
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if app.settings.admin.token.is_none() {
            return Err(Problem::new(Kind::AdminNotConfigured));
        }
        match Caller::of(&parts.headers, app) {
            Caller::Admin => Ok(Self),
            Caller::Buyer(_) => Err(Problem::new(Kind::Forbidden)),
            Caller::Anonymous | Caller::Unknown => Err(unauthorized()),
        }
    }
}

impl FromRequestParts<App> for CartOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        match parts.headers.get(CART_TOKEN) {
            None => Err(Problem::new(Kind::Unauthorized)
                .detail("a cart is reached with its token in X-Cart-Token")
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("X-Cart-Token"))),
            Some(value) => cart_token(value.to_str().unwrap_or_default()).map(Self),
        }
    }
}

/// A cart's token, or there is no such cart.
pub(crate) fn cart_token(text: &str) -> Result<CartToken, Problem> {
    CartToken::parse(text).ok_or_else(|| Problem::new(Kind::NotFound).detail("there is no such cart"))
}
