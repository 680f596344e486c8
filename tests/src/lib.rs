//! Real servers, samples and judges for the end-to-end tests, the demo and the bench.
//!
//! Independent of the program under test on purpose: what compares a restore must not share code with what made it.

pub mod certificates;
pub mod cofre;
pub mod compare;
pub mod mysql;
pub mod packages;
pub mod proxy;
pub mod realistic;
pub mod sample;
pub mod servers;
