//! One function a command: calls the use case, shows the answer, says how it ended.

use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::args::{AuditCommand, CatalogCommand, Cli, Command, Global, PluginCommand, RestoreArgs};
use super::render::{Renderer, table};
use super::{Exit, definition, init, monitor, notify, plugins, proofs, schedule, serve, tenant};
use crate::config::{Config, RawConfig, format_size};
use crate::job::{
    self, Context, DrillRequest, JobError, Measure, PruneRequest, RepairRequest, RestoreRequest, RestoreTarget, RunReport, RunRequest,
    VerifyRequest, What, tell,
};
use crate::ports::{Meter, Warnings};
use crate::retention::Pruned;
use crate::set::SetName;
use crate::text::{
    Locale, RestoredFacts, RunFacts, VerifiedFacts, configuration_template, init_done, init_plugins, prune_summary, recovery_sheet,
    restore_summary, run_failure, run_summary, verify_summary,
};

/// Runs a command.
pub(super) async fn dispatch(cli: Cli, cancel: CancellationToken) -> Exit {
    let renderer = Renderer::new(&cli.global);
    let name = command_name(&cli.command);
    // All commands together are a large future.
    match Box::pin(run_command(cli, renderer, cancel.clone())).await {
        Ok(exit) => exit,
        Err(error) => {
            let error = if cancel.is_cancelled() { JobError::Cancelled } else { error };
            renderer.error(name, &error.to_string());
            Exit::from(&error)
        }
    }
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Init { .. } => "init",
        Command::Login(_) => "login",
        Command::Check => "check",
        Command::Schema => "schema",
        Command::Run { .. } => "run",
        Command::List { .. } => "list",
        Command::Show { .. } => "show",
        Command::Verify { .. } => "verify",
        Command::Repair { .. } => "repair",
        Command::Drill { .. } => "drill",
        Command::Restore(_) => "restore",
        Command::Resume => "resume",
        Command::Prune { .. } => "prune",
        Command::Pin { .. } => "pin",
        Command::Daemon { .. } => "daemon",
        Command::Serve { .. } => "serve",
        Command::Schedule { .. } => "schedule",
        Command::Notify(_) => "notify",
        Command::Tenant(_) => "tenant",
        Command::Report { .. } => "report",
        Command::Monitor => "monitor",
        Command::Watch { .. } => "watch",
        Command::Status => "status",
        Command::Plugin(_) => "plugin",
        Command::Catalog(_) => "catalog",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
        Command::Audit(_) => "audit",
        Command::Token(_) => "token",
        Command::User(_) => "user",
        Command::BenchCopy { .. } => "bench-copy",
    }
}

async fn run_command(cli: Cli, renderer: Renderer, cancel: CancellationToken) -> Result<Exit, JobError> {
    let global = &cli.global;
    match cli.command {
        Command::Init { force } => write_first_files(global, renderer, force).await,
        Command::Schema => {
            let schema = schemars::schema_for!(RawConfig);
            // A reader that went away (`cofre schema | head`) is no failure.
            let _ = writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&schema).unwrap_or_default());
            Ok(Exit::Done)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut definition(), "cofre", &mut script);
            let _ = std::io::stdout().write_all(&script);
            Ok(Exit::Done)
        }
        Command::Man { dir } => manual(dir.as_deref()),
        Command::Login(arguments) => {
            super::login::run(arguments, (renderer, Locale::choose(global.locale.as_deref(), None)), &cancel).await
        }
        Command::BenchCopy { file, plugin, settings, native } => {
            let measured = job::measure(&Measure { file, plugin, settings, native }, &cancel).await?;
            renderer.result("bench-copy", &measured, || format!("{measured:?}"));
            Ok(Exit::Done)
        }
        Command::Plugin(PluginCommand::Test(arguments)) => {
            super::trial::test(arguments, (renderer, Locale::choose(global.locale.as_deref(), None)), &cancel).await
        }
        Command::Plugin(PluginCommand::New(arguments)) => {
            super::scaffold::new(&arguments, (renderer, Locale::choose(global.locale.as_deref(), None)))
        }
        Command::Plugin(command) if !matches!(command, PluginCommand::Doctor { .. }) => plugins::run(command, global, renderer).await,
        Command::Audit(AuditCommand::Verify { at: Some(directory), head }) => {
            super::audit::verify_at(&directory, head, (renderer, Locale::choose(global.locale.as_deref(), None)))
        }
        Command::Watch { every } => monitor::watch(global, (renderer, every), cancel).await,
        command => {
            let config = Config::load(&global.config)?;
            let locale = Locale::choose(global.locale.as_deref(), config.locale.as_deref());
            let actor = job::actor(matches!(command, Command::Daemon { .. } | Command::Serve { .. }));
            let session = Session { context: Context::open(config, actor, cancel)?, renderer, locale };
            let audit = Arc::clone(&session.context.audit);
            let exit = Box::pin(session.command(command, &global.config)).await?;
            Ok(if exit == Exit::Done && audit.failure().is_some() { Exit::Warnings } else { exit })
        }
    }
}

async fn write_first_files(global: &Global, renderer: Renderer, force: bool) -> Result<Exit, JobError> {
    let locale = Locale::choose(global.locale.as_deref(), None);
    let (config, passphrase) = init::init(&global.config, |passphrase| configuration_template(passphrase, locale), force)?;
    let (directory, approved) = plugins::approve_first(global).await?;
    let value = serde_json::json!({ "config": config, "passphrase": passphrase, "plugins": approved });
    renderer.result("init", &value, || {
        let sheet = recovery_sheet(&config, &passphrase, locale);
        format!("{}{}\n{sheet}", init_plugins(&directory, approved.as_deref(), locale), init_done(&config, &passphrase, locale))
    });
    Ok(Exit::Done)
}

fn manual(directory: Option<&Path>) -> Result<Exit, JobError> {
    let failed = |error: std::io::Error| JobError::Request(format!("cannot write the manual: {error}"));
    match directory {
        Some(directory) => clap_mangen::generate_to(definition(), directory).map_err(failed)?,
        None => clap_mangen::Man::new(definition()).render(&mut std::io::stdout()).map_err(failed)?,
    }
    Ok(Exit::Done)
}

struct Session {
    context: Context,
    renderer: Renderer,
    locale: Locale,
}

impl Session {
    async fn command(self, command: Command, config_path: &Path) -> Result<Exit, JobError> {
        match command {
            Command::Check => self.check().await,
            Command::Run { only, tag } => self.told(self.run(RunRequest { only, tags: tag })).await,
            Command::List { from } => self.list(from.as_deref()).await,
            Command::Show { set, from } => self.show(&set, from.as_deref()).await,
            Command::Verify { set, share, from, deep } => self.told(self.verify((&set, share), from, deep)).await,
            Command::Repair { set, to, from, dry_run } => {
                let set = set.as_deref().map(set_named).transpose()?;
                let request = RepairRequest { set, to, from, dry_run };
                self.told(proofs::repair(&self.context, (self.renderer, self.locale), &request)).await
            }
            Command::Drill { set, from, only, into } => {
                let request = DrillRequest { set: set.parse()?, from, only, into };
                self.told(proofs::drill(&self.context, (self.renderer, self.locale), &request)).await
            }
            Command::Restore(arguments) => self.restore(arguments).await,
            Command::Resume => self.resume().await,
            Command::Prune { from, dry_run } => self.told(self.prune(PruneRequest { from, dry_run })).await,
            Command::Pin { set, remove } => self.pin(&set, !remove).await,
            Command::Daemon { once: true } => schedule::once(self.context, (self.renderer, self.locale)).await,
            Command::Daemon { once: false } => schedule::serve(config_path, self.context, (self.renderer, self.locale)).await,
            Command::Serve { listen } => serve::alone(config_path, self.context, listen, (self.renderer, self.locale)).await,
            Command::Schedule { count } => schedule::upcoming(&self.context, (self.renderer, self.locale), count),
            Command::Notify(command) => notify::run(command, &self.context, (self.renderer, self.locale)).await,
            Command::Tenant(command) => Box::pin(self.told(tenant::run(command, &self.context, (self.renderer, self.locale)))).await,
            Command::Report { month, format, output } => {
                super::report::report(&self.context, (self.renderer, self.locale), month.as_deref(), (format, output.as_deref()))
            }
            Command::Monitor => monitor::glance(&self.context, (self.renderer, self.locale)).await,
            Command::Status => self.status(),
            Command::Audit(command) => super::audit::run(&self.context, command, (self.renderer, self.locale)),
            Command::Token(command) => super::token::run(command, &self.context, (self.renderer, self.locale)),
            Command::User(command) => super::user::run(command, &self.context, (self.renderer, self.locale)),
            Command::Plugin(PluginCommand::Doctor { instance, probe }) => {
                plugins::diagnose(&self.context, (self.renderer, self.locale), (instance.as_deref(), probe)).await
            }
            Command::Catalog(CatalogCommand::Rebuild { from }) => self.rebuild(&from).await,
            _ => Err(JobError::Request("this command needs no configuration".to_owned())),
        }
    }

    /// Does something, shows it, and then delivers the alerts that came of it.
    async fn told(&self, work: impl Future<Output = Result<Exit, JobError>>) -> Result<Exit, JobError> {
        let ended = work.await;
        tell::deliver_after_command(&self.context).await;
        ended
    }

    async fn check(self) -> Result<Exit, JobError> {
        let items = job::check(&self.context).await?;
        self.renderer.result("check", &items, || {
            table(
                &items
                    .iter()
                    .map(|item| vec![if item.ok { "✅" } else { "❌" }.to_owned(), item.subject.clone(), item.detail.clone()])
                    .collect::<Vec<_>>(),
            )
        });
        Ok(if items.iter().all(|item| item.ok) { Exit::Done } else { Exit::Failed })
    }

    async fn run(&self, request: RunRequest) -> Result<Exit, JobError> {
        let meter = Arc::new(Meter::default());
        let progress = self.renderer.progress("run", &meter, self.locale);
        let started = jiff::ZonedDateTime::now();
        let report = job::run(&self.context, &request, meter).await;
        drop(progress);
        let report = match report {
            Err(error) if Exit::from(&error) == Exit::Failed => {
                self.renderer.say(&run_failure(&jiff::ZonedDateTime::now(), &error.to_string(), self.locale));
                return Err(error);
            }
            other => other?,
        };
        self.renderer.result("run", &report, || run_summary(&facts(&report, started), self.locale));
        Ok(match (report.is_good(), report.warnings_total) {
            (false, _) => Exit::Failed,
            (true, 0) => Exit::Done,
            (true, _) => Exit::Warnings,
        })
    }

    async fn list(self, from: Option<&str>) -> Result<Exit, JobError> {
        if let Some(from) = from {
            let sets = job::sets_at(&self.context, from).await?;
            self.renderer.result("list", &sets, || {
                table(
                    &sets
                        .iter()
                        .map(|set| vec![set.name.to_string(), format_size(set.bytes), set.files.to_string(), complete(set.complete)])
                        .collect::<Vec<_>>(),
                )
            });
            return Ok(Exit::Done);
        }
        let sets = self.context.catalog.sets()?;
        self.renderer.result("list", &sets, || {
            let row = |set: &crate::catalog::SetRecord| {
                let copies: Vec<String> =
                    set.copies.iter().map(|copy| format!("{}: {}", copy.destination, complete(copy.complete))).collect();
                let state = if set.whole { String::new() } else { self.locale.pick("PARCIAL", "PARTIAL").to_owned() };
                vec![set.name.clone(), format_size(set.plain), format_size(set.stored), set.artifacts.to_string(), copies.join(", "), state]
            };
            table(&sets.iter().map(row).collect::<Vec<_>>())
        });
        Ok(Exit::Done)
    }

    async fn show(self, set: &str, from: Option<&str>) -> Result<Exit, JobError> {
        let set = match set {
            "latest" => None,
            name => Some(set_named(name)?),
        };
        let (destination, manifest) = job::show(&self.context, set, from).await?;
        let value = serde_json::json!({ "destination": destination, "manifest": manifest });
        self.renderer.result("show", &value, || {
            let row = |artifact: &crate::set::ArtifactRecord| {
                vec![artifact.key.clone(), artifact.name.clone(), format_size(artifact.plain), format_size(artifact.size)]
            };
            let mut rows: Vec<_> = manifest.artifacts.iter().map(row).collect();
            rows.extend(manifest.missing.iter().map(|missing| vec!["❌ MISSING".to_owned(), missing.described()]));
            format!("{} · {destination} · {}\n{}", manifest.set, manifest.host, table(&rows))
        });
        Ok(if manifest.is_whole() { Exit::Done } else { Exit::Warnings })
    }

    async fn verify(&self, (set, share): (&str, Option<NonZeroU32>), from: Option<String>, deep: bool) -> Result<Exit, JobError> {
        let (named, every) = match set {
            "latest" => (None, share),
            "all" => (None, Some(NonZeroU32::MIN)),
            name => (Some(set_named(name)?), None),
        };
        let request = VerifyRequest { set: named, every, from, deep };
        let meter = Arc::new(Meter::default());
        let progress = self.renderer.progress("verify", &meter, self.locale);
        let copies = job::verify(&self.context, &request, meter).await;
        drop(progress);
        let copies = copies?;
        let lines = || {
            copies
                .iter()
                .map(|copy| {
                    verify_summary(
                        &VerifiedFacts {
                            set: copy.set.clone(),
                            destination: copy.destination.clone(),
                            bytes: copy.bytes,
                            problems: copy.problems.clone(),
                            warnings: copy.warnings.clone(),
                            damaged: copy.damaged,
                            good: copy.good.as_ref().map(|good| (good.destination.clone(), good.verified.clone())),
                            mend: copy.mend.clone(),
                        },
                        self.locale,
                    )
                })
                .collect::<Vec<_>>()
                .join("\n")
        };
        self.renderer.result("verify", &copies, lines);
        Ok(match (copies.iter().any(|copy| copy.damaged), copies.iter().all(|copy| copy.problems.is_empty())) {
            (true, _) => Exit::Damage,
            (false, true) if copies.iter().all(|copy| copy.warnings.is_empty()) => Exit::Done,
            (false, true) => Exit::Warnings,
            (false, false) => Exit::Failed,
        })
    }

    async fn restore(self, arguments: RestoreArgs) -> Result<Exit, JobError> {
        let to_stdout = arguments.stdout;
        let request = restore_request(arguments)?;
        let (warnings, meter) = (Arc::new(Warnings::default()), Arc::new(Meter::default()));
        let progress = self.renderer.progress("restore", &meter, self.locale);
        let restored = job::restore(&self.context, &request, (Arc::clone(&warnings), meter)).await;
        drop(progress);
        let restored = restored?;
        if !to_stdout {
            let lines = || {
                let facts = |done: &job::Restored| RestoredFacts {
                    what: done.what.clone(),
                    place: done.place.clone(),
                    detail: done.detail_in(self.locale),
                    set: done.set.clone(),
                    from: done.from.clone(),
                };
                restored.iter().map(|done| restore_summary(&facts(done), request.dry_run, self.locale)).collect::<Vec<_>>().join("\n")
            };
            self.renderer.result("restore", &restored, lines);
        }
        Ok(if warnings.snapshot().1 == 0 { Exit::Done } else { Exit::Warnings })
    }

    async fn resume(self) -> Result<Exit, JobError> {
        let meter = Arc::new(Meter::default());
        let progress = self.renderer.progress("resume", &meter, self.locale);
        let resumed = job::resume(&self.context, &meter).await;
        drop(progress);
        let resumed = resumed?;
        self.renderer.result("resume", &resumed, || {
            let line = |set: &job::Resumed| match (&set.error, set.destinations.as_slice()) {
                (Some(error), _) => format!("❌ {}: {error}", set.set),
                (None, []) => format!("{}: {}", set.set, self.locale.pick("removido do spool", "removed from the spool")),
                (None, some) => some
                    .iter()
                    .map(|copy| format!("{} · {}: {}", set.set, copy.name, copy.error.clone().unwrap_or_else(|| complete(copy.complete))))
                    .collect::<Vec<_>>()
                    .join("\n"),
            };
            if resumed.is_empty() {
                self.locale.pick("Nada pendente.", "Nothing is pending.").to_owned()
            } else {
                let left = resumed.iter().flat_map(|set| set.left.iter().map(|left| format!("{} · {}: {left}", set.set, left.destination)));
                resumed.iter().map(line).chain(left).collect::<Vec<_>>().join("\n")
            }
        });
        let all = resumed.iter().all(|set| set.error.is_none() && set.destinations.iter().all(|copy| copy.complete));
        Ok(match (all, resumed.iter().all(|set| set.left.is_empty())) {
            (false, _) => Exit::Failed,
            (true, true) => Exit::Done,
            (true, false) => Exit::Warnings,
        })
    }

    async fn prune(&self, request: PruneRequest) -> Result<Exit, JobError> {
        let places = job::prune(&self.context, &request).await?;
        self.renderer.result("prune", &places, || prune_summary(&places, request.dry_run, self.locale));
        Ok(if places.iter().all(Pruned::is_clean) { Exit::Done } else { Exit::Failed })
    }

    async fn pin(self, set: &str, wanted: bool) -> Result<Exit, JobError> {
        let set = set_named(set)?;
        let places = job::pin(&self.context, set, wanted).await?;
        self.renderer.result("pin", &places, || {
            let state = |place: &job::Pinned| match (&place.error, place.has, place.pinned) {
                (Some(error), ..) => format!("❌ {error}"),
                (None, false, _) => self.locale.pick("não tem o conjunto", "does not have the set").to_owned(),
                (None, true, true) => format!("✅ {}", self.locale.pick("fixado", "pinned")),
                (None, true, false) => format!("✅ {}", self.locale.pick("não está fixado", "not pinned")),
            };
            table(&places.iter().map(|place| vec![place.destination.clone(), state(place)]).collect::<Vec<_>>())
        });
        Ok(if places.iter().all(|place| place.error.is_none()) { Exit::Done } else { Exit::Failed })
    }

    fn status(self) -> Result<Exit, JobError> {
        let status = job::status(&self.context)?;
        self.renderer.result("status", &status, || {
            let mut rows = vec![
                vec![self.locale.pick("ativo", "active").to_owned(), status.active.to_string()],
                vec![self.locale.pick("pendentes", "pending").to_owned(), status.pending.to_string()],
            ];
            rows.extend(status.runs.iter().map(|run| {
                let outcome = run.outcome.clone().unwrap_or_else(|| "…".to_owned());
                vec![
                    run.started.clone(),
                    run.verb.clone(),
                    run.set.clone().unwrap_or_default(),
                    outcome,
                    run.detail.clone().unwrap_or_default(),
                ]
            }));
            table(&rows)
        });
        Ok(Exit::Done)
    }

    async fn rebuild(self, from: &str) -> Result<Exit, JobError> {
        let (read, passed) = job::rebuild(&self.context, from).await?;
        let value = serde_json::json!({ "sets": read, "passed_over": passed });
        self.renderer.result("catalog", &value, || {
            let mut text = format!("{read} {}", self.locale.pick("conjuntos lidos", "sets read"));
            for problem in &passed {
                let _ = write!(text, "\n   - {problem}");
            }
            text
        });
        Ok(if passed.is_empty() { Exit::Done } else { Exit::Warnings })
    }
}

fn complete(is: bool) -> String {
    if is { "✅" } else { "❌" }.to_owned()
}

fn facts(report: &RunReport, started: jiff::ZonedDateTime) -> RunFacts {
    let state = |destination: &crate::copy::DestinationOutcome| {
        let error = destination.error.clone().or_else(|| (!destination.complete).then(|| "incomplete".to_owned()));
        (destination.name.clone(), error)
    };
    RunFacts {
        set: report.set.clone(),
        started,
        finished: jiff::ZonedDateTime::now(),
        databases: report.databases,
        directories: report.directories,
        plain: report.plain,
        stored: report.stored,
        destinations: report.destinations.iter().map(state).collect(),
        missing: report.missing.clone(),
        warnings: report.warnings_total,
    }
}

fn set_named(name: &str) -> Result<SetName, JobError> {
    name.parse().map_err(|error: crate::set::SetNameError| JobError::Request(error.to_string()))
}

fn restore_request(arguments: RestoreArgs) -> Result<RestoreRequest, JobError> {
    let set = arguments.set.parse()?;
    let what = match (arguments.path, arguments.glob, arguments.artifact) {
        (Some(path), ..) => What::Path(path),
        (_, Some(glob), _) => What::Glob(glob),
        (_, _, Some(key)) => What::Artifact(key),
        _ if arguments.schema.is_empty() => What::All,
        _ => What::Schemas { names: arguments.schema, table: arguments.table },
    };
    let target = match (arguments.to, arguments.stdout, arguments.database) {
        (Some(directory), ..) => RestoreTarget::Directory(directory),
        (_, true, _) => RestoreTarget::Stdout,
        (_, _, Some(source)) => RestoreTarget::Database { source, into: arguments.into },
        _ if arguments.dry_run => RestoreTarget::Directory(PathBuf::from(".")),
        _ => return Err(JobError::Request("say where to restore to: --to DIR, --stdout, or --database SOURCE [--into NAME]".to_owned())),
    };
    Ok(RestoreRequest { set, from: arguments.from, what, target, force: arguments.force, dry_run: arguments.dry_run })
}
