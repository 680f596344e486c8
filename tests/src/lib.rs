//! Real servers, samples and judges for the end-to-end tests, the demo and the bench.
//!
//! Independent of the program under test on purpose: what compares a restore must not share code with what made it.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::unnecessary_wraps,
    reason = "settings are put together from texts here, and every list of trials has one form"
)]

pub mod api;
pub mod azurite;
pub mod browser;
pub mod certificates;
pub mod cofre;
pub mod compare;
pub mod conformance;
pub mod debian;
pub mod delay;
pub mod demo;
pub mod drive;
pub mod dropbox;
pub mod fakes;
pub mod ftpd;
pub mod hook;
pub mod idp;
pub mod local;
pub mod moto;
pub mod mysql;
pub mod packages;
pub mod page;
pub mod proxy;
pub mod realistic;
pub mod rest;
pub mod s3;
pub mod sample;
pub mod servers;
pub mod simulation;
pub mod smtp;
pub mod sshd;
pub mod web_proxy;
pub mod webdav;
