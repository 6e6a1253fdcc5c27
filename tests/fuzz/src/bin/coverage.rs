//! The same targets under libFuzzer, guided by coverage. Built by `cargo xtask fuzz`, which sets the compiler flags, names the
//! target in `HOLDFAST_FUZZ_TARGET`, and passes libFuzzer its corpus and limits.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use holdfast_fuzz::Target;
use libfuzzer_sys::fuzz_target;

/// The target named by whoever runs this.
fn target() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let named = std::env::var_os("HOLDFAST_FUZZ_TARGET").unwrap_or_default();
        match named.to_str().and_then(Target::of_name) {
            Some(target) => target,
            None => panic!("HOLDFAST_FUZZ_TARGET names no target: {}", named.display()),
        }
    })
}

fuzz_target!(|bytes: &[u8]| target().run(bytes));
