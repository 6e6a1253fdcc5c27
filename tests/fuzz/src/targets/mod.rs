//! The targets: one function of bytes each. What must hold is asserted; everything else is a value or an error.

pub(crate) mod body;
pub(crate) mod frame;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod segment;
pub(crate) mod settings;
pub(crate) mod snapshot;
