//! Generated bindings, one module a contract version. Nothing outside `plugin/` knows that there are versions.

pub(super) mod v0_1;
