//! What can be asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Backups of databases and directories that open without the program that made them.
#[derive(Debug, Parser)]
#[command(name = "cofre", version, propagate_version = true, arg_required_else_help = true, after_help = EXITS)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXITS: &str = "Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 done with warnings, 4 damage found, 5 another run is active, 130 cancelled";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file
    #[arg(short, long, global = true, env = "COFRE_CONFIG", default_value = "/etc/cofre/cofre.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// One JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Only errors and warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More details; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Language of results: pt-BR or en
    #[arg(long, global = true, value_name = "LANGUAGE")]
    pub locale: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a first configuration and a passphrase, and print the recovery sheet
    Init {
        /// Replace a configuration that is there (never a passphrase)
        #[arg(long)]
        force: bool,
    },
    /// Try the configuration, the databases and every destination
    Check,
    /// Print the JSON Schema of the configuration
    Schema,
    /// Make a backup
    #[command(after_help = "Examples:\n  cofre run\n  cofre run --only empresa1 --only /etc/apache2")]
    Run {
        /// Only these: `sql`, `config`, a source, a schema or a directory
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// List sets
    List {
        /// As this destination lists them, rather than the catalogue
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
    },
    /// Show what a set holds
    Show {
        /// Name of the set
        set: String,
        /// From this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
    },
    /// Read sets back and prove them
    #[command(after_help = "Examples:\n  cofre verify\n  cofre verify all --deep\n  cofre verify backup_2026_03_15_02_00_00 --from cloud")]
    Verify {
        /// Name of a set, `latest` (at each destination) or `all`
        #[arg(default_value = "latest")]
        set: String,
        /// Only this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
        /// Also decrypt, decompress and read every archive to its end
        #[arg(long)]
        deep: bool,
    },
    /// Restore a set, a schema, a table, a directory or a file
    Restore(RestoreArgs),
    /// Go on with copies that were interrupted, and remove what dead runs left
    Resume,
    /// The last runs, and whether one is active
    Status,
    /// Plug-ins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// The catalogue
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print the completions of a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one per command into a directory
    Man {
        /// Directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Measure the cost of the component boundary: a copy through a plug-in against the same copy in native code
    #[command(hide = true)]
    BenchBoundary {
        /// File to copy
        file: PathBuf,
        /// The `local` plug-in
        #[arg(long)]
        plugin: PathBuf,
        /// Directory to copy into
        #[arg(long)]
        dir: PathBuf,
    },
}

/// What to restore, and where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cofre restore latest --schema empresa1 --into empresa1_copy --database main
  cofre restore latest --schema empresa1 --table pedidos --into check --database main
  cofre restore 2026-03-15 --path /etc/apache2 --to /root/restored
  cofre restore latest --path /var/www/data/note.pdf --stdout > note.pdf
  cofre restore latest --to /root/everything")]
pub struct RestoreArgs {
    /// Name of a set, `latest`, or a day (2026-03-15)
    #[arg(default_value = "latest")]
    pub set: String,
    /// Only from this destination
    #[arg(long, value_name = "DESTINATION")]
    pub from: Option<String>,
    /// One schema
    #[arg(long, value_name = "NAME", group = "what")]
    pub schema: Option<String>,
    /// One table of the schema
    #[arg(long, value_name = "NAME", requires = "schema")]
    pub table: Option<String>,
    /// What lies at or below a path
    #[arg(long, value_name = "PATH", group = "what")]
    pub path: Option<PathBuf>,
    /// Files and directories whose path matches a pattern, `/etc/**/*.conf`
    #[arg(long, value_name = "PATTERN", group = "what")]
    pub glob: Option<String>,
    /// One artifact, by the key that `cofre show` prints
    #[arg(long, value_name = "KEY", group = "what")]
    pub artifact: Option<String>,
    /// Into this directory
    #[arg(long, value_name = "DIR", group = "target")]
    pub to: Option<PathBuf>,
    /// To standard output
    #[arg(long, group = "target")]
    pub stdout: bool,
    /// Into this database of the configuration
    #[arg(long, value_name = "SOURCE", group = "target")]
    pub database: Option<String>,
    /// Under this schema name
    #[arg(long, value_name = "NAME", requires = "database", conflicts_with_all = ["to", "stdout"])]
    pub into: Option<String>,
    /// Replace what is there
    #[arg(long)]
    pub force: bool,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// Plug-ins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// The plug-ins in the plug-in directory and in the configuration
    List,
    /// What a plug-in says of itself and asks for
    Inspect {
        /// Name, or path of a file
        plugin: String,
    },
}

/// The catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Read the sets again from a destination
    Rebuild {
        /// Destination
        #[arg(long, value_name = "DESTINATION")]
        from: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "cofre restore --table t",
            "cofre restore --to /a --stdout",
            "cofre restore --schema a --path /b",
            "cofre restore --into x --to /a",
            "cofre",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
