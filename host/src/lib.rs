//! cofre: backups of databases and directories that open without the program that made them.
//!
//! A run reads the sources ([`source`]), turns each into one artifact (`tar`, compression, AES-256-CBC: [`pipeline`]),
//! writes the ciphertext to the spool ([`spool`]) and copies it to every destination ([`copy`]) through a sandboxed
//! component ([`plugin`]). A set ([`set`]) is complete where its sealed manifest is, and the manifest goes last.
//! Which sets stay there is decided by [`retention`]; what somebody is told is an alert of [`notify`] or the month's [`report`], worded in [`text`]. The use cases, one file a verb, are in [`job`]; the command line above them in [`cli`], and beside it the API in [`web`], to which [`access`] lets people and programs in.

// The commands are one future over many others, and lints ask for its layout.
#![recursion_limit = "256"]

pub mod access;
pub mod audit;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod copy;
pub mod daemon;
pub mod hooks;
pub mod job;
pub mod monitor;
pub mod notify;
pub mod owner;
pub mod page;
pub mod pipeline;
pub mod plugin;
pub mod ports;
pub mod report;
pub mod retention;
pub mod schedule;
pub mod set;
pub mod source;
pub mod spool;
pub mod text;
pub mod tls;
pub mod trend;
pub mod web;
