//! One function a command: calls the use case, shows the answer, says how it ended.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::args::{CatalogCommand, Cli, Command, Global, PluginCommand, RestoreArgs};
use super::render::{Renderer, table};
use super::{Exit, definition, init};
use crate::config::{Config, RawConfig, format_size};
use crate::job::{self, Context, JobError, RestoreRequest, RestoreTarget, RunReport, SetChoice, VerifyRequest, What};
use crate::plugin::PluginEngine;
use crate::ports::{Meter, Warnings};
use crate::set::SetName;
use crate::text::{
    Locale, RunFacts, configuration_template, init_done, recovery_sheet, restore_summary, run_failure, run_summary, verify_summary,
};

/// Runs a command.
pub(super) async fn dispatch(cli: Cli, cancel: CancellationToken) -> Exit {
    let renderer = Renderer::new(&cli.global);
    let name = command_name(&cli.command);
    match run_command(cli, renderer, cancel.clone()).await {
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
        Command::Check => "check",
        Command::Schema => "schema",
        Command::Run { .. } => "run",
        Command::List { .. } => "list",
        Command::Show { .. } => "show",
        Command::Verify { .. } => "verify",
        Command::Restore(_) => "restore",
        Command::Resume => "resume",
        Command::Status => "status",
        Command::Plugin(_) => "plugin",
        Command::Catalog(_) => "catalog",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
        Command::BenchBoundary { .. } => "bench-boundary",
    }
}

async fn run_command(cli: Cli, renderer: Renderer, cancel: CancellationToken) -> Result<Exit, JobError> {
    let global = &cli.global;
    match cli.command {
        Command::Init { force } => write_first_files(global, renderer, force),
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
        Command::BenchBoundary { file, plugin, dir } => super::commands::boundary::measure(&file, &plugin, &dir).await,
        Command::Plugin(PluginCommand::Inspect { plugin }) if plugin.contains('/') => inspect(renderer, Path::new(&plugin)).await,
        command => {
            let config = Config::load(&global.config)?;
            let locale = Locale::choose(global.locale.as_deref(), config.locale.as_deref());
            let session = Session { context: Context::open(config, cancel)?, renderer, locale };
            session.command(command).await
        }
    }
}

fn write_first_files(global: &Global, renderer: Renderer, force: bool) -> Result<Exit, JobError> {
    let locale = Locale::choose(global.locale.as_deref(), None);
    let (config, passphrase) = init::init(&global.config, |passphrase| configuration_template(passphrase, locale), force)?;
    let value = serde_json::json!({ "config": config, "passphrase": passphrase });
    renderer.result("init", &value, || {
        format!("{}\n{}", init_done(&config, &passphrase, locale), recovery_sheet(&config, &passphrase, locale))
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

async fn inspect(renderer: Renderer, path: &Path) -> Result<Exit, JobError> {
    let component = PluginEngine::new(None)?.load(path).await?;
    let description = component.description();
    let value = serde_json::json!({ "file": path, "sha256": component.sha256(), "description": description });
    renderer.result("plugin", &value, || {
        let mut rows = vec![
            vec!["name".to_owned(), format!("{} {}", description.name, description.version)],
            vec!["what".to_owned(), description.summary.clone()],
            vec!["sha256".to_owned(), component.sha256().to_owned()],
        ];
        rows.extend(description.network.iter().map(|need| vec!["will talk to".to_owned(), format!("{}  ({})", need.target, need.reason)]));
        rows.extend(
            description.secrets.iter().map(|need| vec!["asks for the secret".to_owned(), format!("{}  ({})", need.name, need.summary)]),
        );
        rows.push(vec!["needs a directory".to_owned(), description.directory.to_string()]);
        table(&rows)
    });
    Ok(Exit::Done)
}

struct Session {
    context: Context,
    renderer: Renderer,
    locale: Locale,
}

impl Session {
    async fn command(self, command: Command) -> Result<Exit, JobError> {
        match command {
            Command::Check => self.check().await,
            Command::Run { only } => self.run(&only).await,
            Command::List { from } => self.list(from.as_deref()).await,
            Command::Show { set, from } => self.show(&set, from.as_deref()).await,
            Command::Verify { set, from, deep } => self.verify(&set, from, deep).await,
            Command::Restore(arguments) => self.restore(arguments).await,
            Command::Resume => self.resume().await,
            Command::Status => self.status(),
            Command::Plugin(PluginCommand::List) => self.plugins().await,
            Command::Plugin(PluginCommand::Inspect { plugin }) => {
                let configured = self.context.config.destinations.iter().find(|destination| {
                    destination.settings.name == plugin
                        || destination.settings.plugin.file_stem().is_some_and(|stem| stem == plugin.as_str())
                });
                let path = configured.map(|destination| destination.settings.plugin.clone());
                let path = path.ok_or_else(|| {
                    JobError::Request(format!("no destination uses a plug-in `{plugin}`; give the path of a file instead"))
                })?;
                inspect(self.renderer, &path).await
            }
            Command::Catalog(CatalogCommand::Rebuild { from }) => self.rebuild(&from).await,
            _ => Err(JobError::Request("this command needs no configuration".to_owned())),
        }
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

    async fn run(self, only: &[String]) -> Result<Exit, JobError> {
        let meter = Arc::new(Meter::default());
        let progress = self.renderer.progress("run", &meter);
        let started = jiff::ZonedDateTime::now();
        let report = job::run(&self.context, only, meter).await;
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
        let set: SetName = set.parse().map_err(|error: crate::set::SetNameError| JobError::Request(error.to_string()))?;
        let (destination, manifest) = job::show(&self.context, set, from).await?;
        let value = serde_json::json!({ "destination": destination, "manifest": manifest });
        self.renderer.result("show", &value, || {
            let row = |artifact: &crate::set::ArtifactRecord| {
                vec![artifact.key.clone(), artifact.name.clone(), format_size(artifact.plain), format_size(artifact.size)]
            };
            let mut rows: Vec<_> = manifest.artifacts.iter().map(row).collect();
            rows.extend(manifest.missing.iter().map(|missing| vec!["❌ MISSING".to_owned(), missing.name.clone()]));
            format!("{} · {destination} · {}\n{}", manifest.set, manifest.host, table(&rows))
        });
        Ok(if manifest.is_whole() { Exit::Done } else { Exit::Warnings })
    }

    async fn verify(self, set: &str, from: Option<String>, deep: bool) -> Result<Exit, JobError> {
        let named = match set {
            "latest" | "all" => None,
            name => Some(name.parse().map_err(|error: crate::set::SetNameError| JobError::Request(error.to_string()))?),
        };
        let request = VerifyRequest { set: named, all: set == "all", from, deep };
        let meter = Arc::new(Meter::default());
        let progress = self.renderer.progress("verify", &meter);
        let copies = job::verify(&self.context, &request, meter).await;
        drop(progress);
        let copies = copies?;
        let lines = || {
            copies
                .iter()
                .map(|copy| verify_summary(&copy.set, &copy.destination, copy.bytes, &copy.problems, self.locale))
                .collect::<Vec<_>>()
                .join("\n")
        };
        self.renderer.result("verify", &copies, lines);
        Ok(match (copies.iter().any(|copy| copy.damaged), copies.iter().all(|copy| copy.problems.is_empty())) {
            (true, _) => Exit::Damage,
            (false, true) => Exit::Done,
            (false, false) => Exit::Failed,
        })
    }

    async fn restore(self, arguments: RestoreArgs) -> Result<Exit, JobError> {
        let to_stdout = arguments.stdout;
        let request = restore_request(arguments)?;
        let (warnings, meter) = (Arc::new(Warnings::default()), Arc::new(Meter::default()));
        let progress = self.renderer.progress("restore", &meter);
        let restored = job::restore(&self.context, &request, (Arc::clone(&warnings), meter)).await;
        drop(progress);
        let restored = restored?;
        if !to_stdout {
            let lines = || {
                restored
                    .iter()
                    .map(|done| restore_summary(&done.what, &done.place, &done.detail, self.locale))
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            self.renderer.result("restore", &restored, lines);
        }
        Ok(if warnings.snapshot().1 == 0 { Exit::Done } else { Exit::Warnings })
    }

    async fn resume(self) -> Result<Exit, JobError> {
        let resumed = job::resume(&self.context).await?;
        self.renderer.result("resume", &resumed, || {
            let line = |set: &job::Resumed| match set.destinations.as_slice() {
                [] => format!("{}: {}", set.set, self.locale.pick("removido (a execução morreu)", "removed (its run died)")),
                some => some
                    .iter()
                    .map(|copy| format!("{} · {}: {}", set.set, copy.name, copy.error.clone().unwrap_or_else(|| complete(copy.complete))))
                    .collect::<Vec<_>>()
                    .join("\n"),
            };
            if resumed.is_empty() {
                self.locale.pick("Nada pendente.", "Nothing is pending.").to_owned()
            } else {
                resumed.iter().map(line).collect::<Vec<_>>().join("\n")
            }
        });
        let all = resumed.iter().flat_map(|set| &set.destinations).all(|copy| copy.complete);
        Ok(if all { Exit::Done } else { Exit::Failed })
    }

    fn status(self) -> Result<Exit, JobError> {
        let runs = self.context.catalog.runs(10)?;
        let value =
            serde_json::json!({ "active": self.context.spool.is_busy(), "pending": self.context.spool.left_overs()?.len(), "runs": runs });
        self.renderer.result("status", &value, || {
            let mut rows = vec![
                vec![self.locale.pick("ativo", "active").to_owned(), value["active"].to_string()],
                vec![self.locale.pick("pendentes", "pending").to_owned(), value["pending"].to_string()],
            ];
            rows.extend(runs.iter().map(|run| {
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

    async fn plugins(self) -> Result<Exit, JobError> {
        let mut rows = Vec::new();
        let mut values = Vec::new();
        for destination in &self.context.config.destinations {
            let settings = &destination.settings;
            let (name, version, sha256) = match self.context.engine.load(&settings.plugin).await {
                Ok(component) => {
                    (component.description().name.clone(), component.description().version.clone(), component.sha256().to_owned())
                }
                Err(error) => (error.to_string(), String::new(), String::new()),
            };
            values.push(serde_json::json!({ "instance": settings.name, "file": settings.plugin, "name": name, "version": version, "sha256": sha256 }));
            rows.push(vec![settings.name.clone(), name, version, settings.plugin.display().to_string()]);
        }
        self.renderer.result("plugin", &values, || table(&rows));
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

fn restore_request(arguments: RestoreArgs) -> Result<RestoreRequest, JobError> {
    let set = match arguments.set.as_str() {
        "latest" => SetChoice::Latest,
        text => match (text.parse::<SetName>(), text.parse::<jiff::civil::Date>()) {
            (Ok(name), _) => SetChoice::Named(name),
            (_, Ok(day)) => SetChoice::Day(day),
            _ => return Err(JobError::Request(format!("`{text}` is neither a set, nor `latest`, nor a day such as 2026-03-15"))),
        },
    };
    let what = match (arguments.schema, arguments.path, arguments.glob, arguments.artifact) {
        (Some(name), ..) => What::Schema { name, table: arguments.table },
        (_, Some(path), ..) => What::Path(path),
        (_, _, Some(glob), _) => What::Glob(glob),
        (_, _, _, Some(key)) => What::Artifact(key),
        _ => What::All,
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

mod boundary {
    //! The measurement behind `cargo xtask bench`'s row `boundary`.

    use std::path::Path;
    use std::time::Instant;

    use super::{Exit, JobError, PluginEngine};
    use crate::plugin::WasmDestination;
    use crate::ports::{Destination, DestinationSettings, Grants, PluginLimits};

    const WINDOW: u64 = 16 << 20;

    pub(super) async fn measure(file: &Path, plugin: &Path, directory: &Path) -> Result<Exit, JobError> {
        let failed = |error: std::io::Error| JobError::Request(format!("cannot measure: {error}"));
        let settings = DestinationSettings {
            name: "bench".to_owned(),
            plugin: plugin.to_path_buf(),
            settings: serde_json::json!({}),
            secrets: std::collections::BTreeMap::new(),
            grants: Grants { network: Vec::new(), directory: Some(directory.to_path_buf()) },
            limits: PluginLimits::default(),
            ca_file: None,
        };
        let destination = WasmDestination::new(PluginEngine::new(None)?.load(plugin).await?, settings)?;
        let size = std::fs::metadata(file).map_err(failed)?.len();
        let started = Instant::now();
        through_plugin(&destination, file, size).await.map_err(|source| JobError::Destination { name: "bench".to_owned(), source })?;
        let plugin_seconds = started.elapsed().as_secs_f64();
        let target = directory.join("native");
        let started = Instant::now();
        native(file, &target, size).await.map_err(failed)?;
        let native_seconds = started.elapsed().as_secs_f64();
        println!("{}", serde_json::json!({ "bytes": size, "plugin_s": plugin_seconds, "native_s": native_seconds }));
        Ok(Exit::Done)
    }

    async fn through_plugin(destination: &WasmDestination, file: &Path, size: u64) -> Result<(), crate::ports::DestinationError> {
        let broken =
            |error: std::io::Error| crate::ports::DestinationError::fatal(crate::ports::DestinationErrorKind::Other, error.to_string());
        let mut upload = destination.begin("plugin", Some(size)).await?;
        let mut offset = upload.offset().await?;
        while offset < size {
            let length = WINDOW.min(size - offset);
            let body = body(file, offset, length).await.map_err(broken)?;
            offset = upload.write(body, length).await?;
        }
        upload.finish().await.map(|_| ())
    }

    /// The same in native code: the same reads, the same windows, a flush to disk after each.
    async fn native(file: &Path, target: &Path, size: u64) -> std::io::Result<()> {
        let mut output = tokio::fs::File::create(target).await?;
        output.set_max_buf_size(1 << 20);
        let mut offset = 0;
        while offset < size {
            let length = WINDOW.min(size - offset);
            let mut source = body(file, offset, length).await?;
            offset += tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(1 << 20, &mut source), &mut output).await?;
            output.sync_all().await?;
        }
        Ok(())
    }

    async fn body(file: &Path, offset: u64, length: u64) -> std::io::Result<crate::ports::BodySource> {
        use tokio::io::{AsyncReadExt, AsyncSeekExt};
        let mut source = tokio::fs::File::open(file).await?;
        source.set_max_buf_size(1 << 20);
        source.seek(std::io::SeekFrom::Start(offset)).await?;
        Ok(Box::pin(source.take(length)))
    }
}
