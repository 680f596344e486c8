//! What can be asked for.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::access::{self, Scope};
use crate::audit::Head;
use crate::config::parse_share;

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
    #[arg(
        short,
        long,
        global = true,
        env = "COFRE_CONFIG",
        hide_env_values = true,
        default_value = "/etc/cofre/cofre.toml",
        value_name = "FILE"
    )]
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
    /// Language of results
    #[arg(long, global = true, value_name = "LANGUAGE", value_parser = ["pt-BR", "en"])]
    pub locale: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a first configuration and a passphrase, and print the recovery sheet
    #[command(after_help = "Examples:\n  cofre init\n  cofre --config ./cofre.toml --locale pt-BR init")]
    Init {
        /// Replace a configuration that is there (never a passphrase)
        #[arg(long)]
        force: bool,
    },
    /// Obtain a refresh token for Google Drive or Dropbox, on a machine without a browser
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
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
        /// Tag the set; retention may keep by tags
        #[arg(long, value_name = "TAG", value_parser = tag)]
        tag: Vec<String>,
    },
    /// List sets
    #[command(after_help = "Examples:\n  cofre list\n  cofre list --from cloud\n  cofre list --json | jq -r '.result[].name'")]
    List {
        /// As this destination lists them, rather than the catalogue
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
    },
    /// Show what a set holds
    #[command(after_help = "Examples:\n  cofre show latest\n  cofre show backup_2026_03_15_02_00_00 --from cloud")]
    Show {
        /// Name of a set, or `latest`
        #[arg(default_value = "latest")]
        set: String,
        /// From this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
    },
    /// Read sets back and prove them
    #[command(
        after_help = "Examples:\n  cofre verify\n  cofre verify all --deep\n  cofre verify --share 1/4\n  cofre verify backup_2026_03_15_02_00_00 --from cloud"
    )]
    Verify {
        /// Name of a set, `latest` (at each destination) or `all`
        #[arg(default_value = "latest")]
        set: String,
        /// A share of all sets, `1/4`: the newest, and those not read for longest; in so many verifications each is read at least once
        #[arg(long, value_name = "SHARE", conflicts_with = "set", value_parser = parse_share)]
        share: Option<NonZeroU32>,
        /// Only this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
        /// Also decrypt, decompress and read every archive to its end
        #[arg(long)]
        deep: bool,
    },
    /// Mend damaged copies: copy again from another destination what is missing or wrong in them
    #[command(
        after_help = "Examples:\n  cofre repair --dry-run\n  cofre repair\n  cofre repair backup_2026_03_15_02_00_00 --to cloud --from disk"
    )]
    Repair {
        /// Name of a set; without one, all whose copies are known to be damaged or incomplete
        set: Option<String>,
        /// The destination to mend; without one, those that are known to need it
        #[arg(long, value_name = "DESTINATION")]
        to: Option<String>,
        /// Only from this destination; without one, from the best copy of each object
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
        /// Only read, and say what would be replaced
        #[arg(long)]
        dry_run: bool,
    },
    /// Restore the newest set into scratch schemas and a scratch directory, compare all of it, measure the time, and remove the scratch
    #[command(
        after_help = "Examples:\n  cofre drill\n  cofre drill --only sql --from cloud\n  cofre drill --set 2026-03-15 --into /srv/scratch"
    )]
    Drill {
        /// Name of a set, `latest`, or a day (2026-03-15)
        #[arg(long, default_value = "latest")]
        set: String,
        /// Only from this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
        /// Only these: `sql`, `config`, a source, a schema or a directory
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Make the scratch directory here, rather than in the spool
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Restore a set, a schema, a table, a directory or a file
    Restore(RestoreArgs),
    /// Go on with copies that were interrupted, and remove what dead runs left
    Resume,
    /// Remove the sets that retention does not keep, and say of each why it stays or goes
    #[command(after_help = "Examples:\n  cofre prune --dry-run\n  cofre prune --from cloud")]
    Prune {
        /// Only at this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep a set, whatever the retention
    #[command(after_help = "Examples:\n  cofre pin backup_2026_03_15_02_00_00\n  cofre pin backup_2026_03_15_02_00_00 --remove")]
    Pin {
        /// Name of a set
        set: String,
        /// Take the pin away
        #[arg(long)]
        remove: bool,
    },
    /// Do what is scheduled, until told to stop; SIGHUP reads the configuration again
    #[command(after_help = "Examples:\n  cofre daemon\n  cofre daemon --once")]
    Daemon {
        /// Do what is due now, and end
        #[arg(long)]
        once: bool,
    },
    /// Serve the API, without doing what is scheduled; the daemon serves it too, where the configuration has [web]
    #[command(after_help = "Examples:\n  cofre serve\n  cofre serve --listen 127.0.0.1:8743")]
    Serve {
        /// Listen here, rather than where the configuration says; may be given again
        #[arg(long, value_name = "ADDRESS")]
        listen: Vec<std::net::SocketAddr>,
    },
    /// Look after notifiers and the alerts on their way
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Send the backup of one tenant to somebody
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// When each job begins next
    Schedule {
        /// Times of each
        #[arg(short = 'n', long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// The report of a month
    #[command(after_help = "Examples:\n  cofre report\n  cofre report --month 2026-10 --format html --output report.html")]
    Report {
        /// The month, as 2026-10. Default: the one that is not over yet
        #[arg(long, value_name = "MONTH")]
        month: Option<String>,
        /// How it is written
        #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
        format: ReportFormat,
        /// Write it to this file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Look now at everything that the daemon checks: databases, disks, services, pages, the age of backups
    Monitor,
    /// Look at destinations without a passphrase, from another machine: is the newest set there, whole, new and large enough?
    #[command(after_help = "Examples:\n  cofre watch --config watch.toml\n  cofre watch --config watch.toml --every 1h")]
    Watch {
        /// Go on until told to stop, and look so often
        #[arg(long, value_name = "TIME", value_parser = pause)]
        every: Option<std::time::Duration>,
    },
    /// The last runs, and whether one is active
    Status,
    /// Plug-ins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// The catalogue
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// The audit log: who did what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Tokens, with which programs use the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Users, who log in at the page
    #[command(subcommand)]
    User(UserCommand),
    /// Print the completions of a shell
    #[command(after_help = "Examples:\n  cofre completions bash > /etc/bash_completion.d/cofre\n  cofre completions zsh > ~/.zfunc/_cofre")]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one per command into a directory
    #[command(after_help = "Examples:\n  cofre man --dir /usr/local/share/man/man1")]
    Man {
        /// Directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Measure one copy through a plug-in
    #[command(hide = true)]
    BenchCopy {
        /// File to copy
        file: PathBuf,
        /// Component
        #[arg(long)]
        plugin: PathBuf,
        /// Its settings, as `cofre plugin test` takes them
        #[arg(long)]
        settings: PathBuf,
        /// Also copy natively, to this file
        #[arg(long)]
        native: Option<PathBuf>,
    },
}

impl Command {
    /// Whether it uses catalogue and spool as the daemon does. A restore uses them too, but gives files their owners, which takes root.
    pub(super) fn works_on_state(&self) -> bool {
        match self {
            Self::Init { .. }
            | Self::Login(_)
            | Self::Schema
            | Self::Restore(_)
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::BenchCopy { .. } => false,
            Self::Plugin(command) => matches!(command, PluginCommand::Doctor { .. }),
            _ => true,
        }
    }
}

fn tag(text: &str) -> Result<String, String> {
    crate::job::RunRequest::check_tag(text).map(|()| text.to_owned())
}

/// A time between two looks.
fn pause(text: &str) -> Result<std::time::Duration, String> {
    let pause = crate::config::parse_duration(text)?;
    if pause.as_secs() == 0 { Err("write at least `1s`".to_owned()) } else { Ok(pause) }
}

const LOGIN_EXAMPLES: &str = "Examples:
  cofre login dropbox --client-id APPKEY --to /etc/cofre/dropbox.token
  cofre login gdrive --client-id ID --client-secret-file /etc/cofre/google.secret --to /etc/cofre/gdrive.token
  cofre login gdrive --flow code --scope drive --client-id ID --client-secret-file FILE --to FILE";

/// Where to log in, as whom, and where the token goes.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Service
    #[arg(value_enum)]
    pub service: CloudService,
    /// Identifier of your OAuth client at Google, or key of your app at Dropbox
    #[arg(long, value_name = "ID")]
    pub client_id: String,
    /// File with the client's secret; Google wants it, Dropbox does not
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Write the token into this file, which only you can read
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// Google: type a code on another device, or paste one here
    #[arg(long, value_enum, default_value = "device", value_name = "FLOW")]
    pub flow: LoginFlow,
    /// Google: only what cofre makes, or the whole drive (with `--flow code`)
    #[arg(long, value_enum, default_value = "drive.file", value_name = "SCOPE")]
    pub scope: LoginScope,
    /// Replace the file
    #[arg(long)]
    pub force: bool,
    /// Address of another service with the same interfaces
    #[arg(long, hide = true)]
    pub endpoint: Option<String>,
    /// Certificates of its authority
    #[arg(long, hide = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// List the tenants, and where their schemas are
    List,
    /// Back up the schemas of one tenant now, and send them as one encrypted file
    #[command(after_help = "The passphrase of the file is made anew and printed once; tell it to the recipient another way.\n\n\
                      Examples:\n  cofre tenant backup acme --email someone@example.com\n  \
                      cofre tenant backup acme --email someone@example.com --via cloud --passphrase-file ./passphrase")]
    Backup(TenantBackupArgs),
}

/// Arguments of `tenant backup`.
#[derive(Debug, Args)]
pub struct TenantBackupArgs {
    /// Name of the tenant
    pub tenant: String,
    /// Address of the person who gets it
    #[arg(long, value_name = "ADDRESS")]
    pub email: String,
    /// Notifier that sends the mail. Default: the first with the plug-in `email`
    #[arg(long, value_name = "NAME")]
    pub notifier: Option<String>,
    /// Private file with the passphrase in its first line, instead of one that is made
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Destination to download from, where the file is too large for a mail
    #[arg(long, value_name = "DESTINATION")]
    pub via: Option<String>,
}

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a trial message to one notifier, or to all
    Test {
        /// Name of a [[notifier]]
        notifier: Option<String>,
    },
    /// List the newest alerts: delivered, waiting, given up
    List {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
        count: u16,
    },
    /// List what is wrong right now
    Problems,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Plain text
    Text,
    /// One page with its plots inside
    Html,
    /// The figures, as docs/reports.md lists them
    Json,
    /// The JSON schema of the figures
    Schema,
}

/// A service to log in at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CloudService {
    /// Google Drive
    Gdrive,
    /// Dropbox
    Dropbox,
}

impl CloudService {
    /// As its plug-in is named.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gdrive => "gdrive",
            Self::Dropbox => "dropbox",
        }
    }
}

/// How a person agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoginFlow {
    /// Type a code on another device
    Device,
    /// Open an address on another device and paste what comes of it
    Code,
}

/// What the token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoginScope {
    /// Only folders and files that cofre makes
    #[value(name = "drive.file")]
    DriveFile,
    /// The whole drive
    #[value(name = "drive")]
    Drive,
}

/// What to restore, and where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cofre restore latest --schema empresa1 --into empresa1_copy --database main
  cofre restore latest --schema empresa1 --table pedidos --into check --database main
  cofre restore latest --schema 'acme_*' --schema empresa1 --database main --force
  cofre restore latest --database main
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
    /// One schema, by name or pattern (`acme_*`); may be given again
    #[arg(long, value_name = "NAME", group = "what")]
    pub schema: Vec<String>,
    /// One table of the schema; only into a database
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
    /// Into this database of the configuration; without --schema all its schemas
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
    /// Show what plug-ins ask for, put them into the plug-in directory, and approve them
    #[command(after_help = "Examples:\n  cofre plugin add ./sftp.wasm\n  cofre plugin add /usr/lib/cofre/plugins --yes")]
    Add {
        /// Component files, or directories of them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Consent
        #[command(flatten)]
        consent: Consent,
    },
    /// Show what a newer plug-in asks for otherwise, and let it take the place of the approved one
    #[command(after_help = "Examples:\n  cofre plugin update s3\n  cofre plugin update sftp ./sftp-1.2.wasm")]
    Update {
        /// Name, or path of the approved file
        plugin: String,
        /// Newer file; without it, what lies in the place of the approved one
        file: Option<PathBuf>,
        /// Consent
        #[command(flatten)]
        consent: Consent,
    },
    /// Forget the approval of a plug-in, and remove it from the plug-in directory
    Remove {
        /// Name, or path of the file
        plugin: String,
        /// Also where the configuration uses it
        #[arg(long)]
        force: bool,
    },
    /// The plug-ins in the plug-in directory, in the configuration, and approved
    List,
    /// Look after the plug-in of every configured destination: approval, signature, settings, grants
    #[command(after_help = "Examples:\n  cofre plugin doctor\n  cofre plugin doctor cloud --probe")]
    Doctor {
        /// Only this destination
        #[arg(value_name = "DESTINATION")]
        instance: Option<String>,
        /// Also use it: write, read and remove a small object
        #[arg(long)]
        probe: bool,
    },
    /// Take a destination's plug-in through the conformance suite (docs/conformance.md); it removes what it stores
    #[command(after_help = TEST_EXAMPLES)]
    Test(PluginTestArgs),
    /// Write a project for a plug-in of your own: it builds, tests itself and conforms (docs/writing-plugins.md)
    #[command(
        after_help = "Examples:\n  cofre plugin new my-nas --kind destination\n  cofre plugin new matrix --kind notifier --dir plugins/matrix"
    )]
    New(PluginNewArgs),
    /// What a plug-in says of itself and asks for
    #[command(after_help = "Examples:\n  cofre plugin inspect local\n  cofre plugin inspect ./new.wasm")]
    Inspect {
        /// Name, or path of a file
        plugin: String,
    },
}

/// Consent to an approval, given beforehand.
#[derive(Debug, Clone, Copy, Args)]
pub struct Consent {
    /// Approve without asking
    #[arg(short, long)]
    pub yes: bool,
    /// With --yes: also what another key has signed than before, or none
    #[arg(long, requires = "yes")]
    pub new_key: bool,
}

/// What a plug-in does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Stores objects
    Destination,
    /// Delivers messages
    Notifier,
}

/// What a plug-in is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, with the crate cofre-sdk
    Rust,
    /// Python, through componentize-py
    Python,
}

/// A project for a plug-in.
#[derive(Debug, Args)]
pub struct PluginNewArgs {
    /// Its name: lower-case letters, digits and `-`
    pub name: String,
    /// What it does
    #[arg(long)]
    pub kind: Role,
    /// What it is written in
    #[arg(long, default_value = "rust")]
    pub lang: Language,
    /// Where to [default: a folder of its name]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Folder `sdk` of cofre's sources, where not the released one is to be used
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

const TEST_EXAMPLES: &str = "Examples:
  cofre plugin test ./s3.wasm --settings s3.toml
  cofre plugin test ./s3.wasm --settings s3.toml --only resume --only keys/odd
  cofre plugin test ./s3.wasm --settings s3.toml --large --json";

/// What of a plug-in to test, and how.
#[derive(Debug, Args)]
pub struct PluginTestArgs {
    /// Component file
    pub file: PathBuf,
    /// Its settings: the keys of a `[[destination]]`, and `[[refusal]]` tables
    #[arg(long, value_name = "FILE")]
    pub settings: PathBuf,
    /// Only this case, or this group of cases; may be given several times
    #[arg(long, value_name = "CASE")]
    pub only: Vec<String>,
    /// As much as it takes to be sure: an object of 1 GB, writes of 16 MiB
    #[arg(long)]
    pub large: bool,
    /// Objects to store, at most, to see a second page of a listing [default: 1100, as many as 45 s allow]
    #[arg(long, value_name = "NUMBER")]
    pub objects: Option<usize>,
}

/// The audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Its entries, oldest first
    #[command(
        after_help = "Examples:\n  cofre audit list --since 2026-03-01\n  cofre audit list --json | jq '.result.entries[] | select(.action == \"restore\")'"
    )]
    List {
        /// Only from this day, or moment, on: 2026-03-01, 2026-03-01T02:00:00Z
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<jiff::Timestamp>,
    },
    /// Whether a line was removed, altered, or moved, and which is the first
    #[command(
        after_help = "Examples:\n  cofre audit verify\n  cofre audit verify --at /mnt/copy/of/var/lib/cofre --head '812 9f86d081884c…'"
    )]
    Verify {
        /// Of a copy in this directory
        #[arg(long, value_name = "DIR")]
        at: Option<PathBuf>,
        /// What an earlier verification printed as the head, `NUMBER HASH`: that must still be in the log
        #[arg(long, value_name = "HEAD")]
        head: Option<Head>,
    },
}

/// A moment, or the begin of a day here.
fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    let day = |day: jiff::civil::Date| day.to_zoned_datetime(jiff::tz::TimeZone::system()).ok().map(|start| start.timestamp());
    let moment = text.parse().ok().or_else(|| text.parse().ok().and_then(day));
    moment.ok_or_else(|| format!("`{text}` is no moment; write for example 2026-03-01 or 2026-03-01T02:00:00Z"))
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, which is printed once
    #[command(after_help = "Examples:\n  cofre token create --name grafana --scope status:read\n  \
                      cofre token create --name erp --scope tenant:deliver --tenant acme --expires 90d")]
    Create(TokenCreateArgs),
    /// List tokens, also those that were revoked
    List,
    /// End a token for good
    #[command(after_help = "Examples:\n  cofre token revoke ab12cd34")]
    Revoke {
        /// Its public part, as `cofre token list` shows it
        id: String,
    },
}

/// A token to be made.
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// What it is for
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What it may do; may be given several times
    #[arg(long, value_name = "SCOPE", required = true, value_parser = scope())]
    pub scope: Vec<Scope>,
    /// Only for this tenant; may be given several times
    #[arg(long, value_name = "TENANT")]
    pub tenant: Vec<String>,
    /// It ends after this time: 90d, 12h. Default: never
    #[arg(long, value_name = "TIME", value_parser = pause)]
    pub expires: Option<std::time::Duration>,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is asked for
    #[command(after_help = "Examples:\n  cofre user add maria --role administrator\n  \
                      cofre user add rui --role viewer --password-file ./password")]
    Add {
        /// Name; upper and lower case are the same
        name: String,
        /// What they are trusted with
        #[arg(long, value_name = "ROLE", value_parser = user_role())]
        role: access::Role,
        /// Private file with the password in its first line, instead of asking
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List users
    List,
    /// Give a user another password, and end their sessions
    Password {
        /// Name
        name: String,
        /// Private file with the password in its first line, instead of asking
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Trust a user with more, or less
    #[command(after_help = "Examples:\n  cofre user role rui operator")]
    Role {
        /// Name
        name: String,
        /// What they are trusted with
        #[arg(value_name = "ROLE", value_parser = user_role())]
        role: access::Role,
    },
    /// Remove a user, and end their sessions
    Remove {
        /// Name
        name: String,
    },
    /// The second factor of a user
    #[command(subcommand)]
    Totp(TotpCommand),
    /// Print the link with which the first administrator is made, once and within an hour
    SetupLink,
}

/// What to do with a second factor.
#[derive(Debug, Subcommand)]
pub enum TotpCommand {
    /// Ask a user for no code any more, for who lost the device and the recovery codes
    Off {
        /// Name
        name: String,
    },
}

fn user_role() -> impl TypedValueParser<Value = access::Role> {
    PossibleValuesParser::new(access::Role::ALL.map(access::Role::name)).try_map(|name| name.parse::<access::Role>())
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::name)).try_map(|name| name.parse::<Scope>())
}

/// The catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Read the sets again from a destination
    #[command(after_help = "Examples:\n  cofre catalog rebuild --from cloud")]
    Rebuild {
        /// Destination
        #[arg(long, value_name = "DESTINATION")]
        from: String,
    },
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    /// What every command says of itself: a change of any word is seen and meant.
    #[test]
    fn the_help_reads_as_it_was_written() {
        let mut help = String::new();
        let mut whole = Cli::command().term_width(100);
        whole.build();
        describe(&mut whole, &mut help);
        insta::assert_snapshot!(help);
    }

    fn describe(command: &mut clap::Command, help: &mut String) {
        let text = command.render_help();
        let name = command.get_bin_name().unwrap_or("cofre");
        let _ = writeln!(help, "━━ {name}\n{text}");
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            describe(sub, help);
        }
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
