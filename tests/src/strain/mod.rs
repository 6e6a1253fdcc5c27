//! What wears a server down from outside: more orders than it can take, connections that do nothing or next to nothing,
//! clients that never read, and bodies that mean harm. Each part strains one server and says what it measured; tests hold
//! the figures to what must be so on any machine, `cargo xtask overload` to what is asked for where a machine has nothing
//! else to do.

pub mod bystanders;
pub mod campaign;
pub mod harm;
pub mod load;
pub mod resident;
pub mod unread;
