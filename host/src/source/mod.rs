//! What is backed up: database servers and directories. Sources know the ports and the tar, nothing above.

pub mod files;
pub mod mysql;
