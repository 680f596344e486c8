//! `cofre tenant`: lists tenants, and sends the backup of one to somebody.

use std::io::Write as _;
use std::sync::Arc;

use super::Exit;
use super::args::{TenantBackupArgs, TenantCommand};
use super::render::{Renderer, table};
use crate::job::{self, Context, JobError, TenantBackup, TenantRequest, delivery_passphrase, tenant_backup};
use crate::ports::Meter;
use crate::text::{Locale, TenantSummary, tenant_passphrase, tenant_summary};

/// Runs one of the commands.
pub(super) async fn run(command: TenantCommand, context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    match command {
        TenantCommand::List => {
            list(context, (renderer, locale));
            Ok(Exit::Done)
        }
        TenantCommand::Backup(arguments) => backup(arguments, context, (renderer, locale)).await,
    }
}

fn list(context: &Context, (renderer, locale): (Renderer, Locale)) {
    let tenants = job::tenants(&context.config);
    renderer.result("tenant", &tenants, || {
        if tenants.is_empty() {
            return locale.pick("Nenhum cliente configurado.", "No tenants are configured.").to_owned();
        }
        let rows = tenants.iter().flat_map(|own| {
            let schemas = own.sources.iter().map(|place| vec![own.name.clone(), place.source.clone(), place.schemas.join(", ")]);
            schemas.chain(own.directories.iter().map(|path| vec![own.name.clone(), String::new(), path.display().to_string()]))
        });
        table(&rows.collect::<Vec<_>>())
    });
}

async fn backup(arguments: TenantBackupArgs, context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    if renderer.is_quiet() && arguments.passphrase_file.is_none() {
        let message = "with --quiet nobody would be told the passphrase; give one with --passphrase-file";
        return Err(JobError::Request(message.to_owned()));
    }
    let request = TenantRequest {
        tenant: arguments.tenant,
        recipient: arguments.email,
        notifier: arguments.notifier,
        via: arguments.via,
        passphrase: arguments.passphrase_file.as_deref().map(delivery_passphrase).transpose()?,
    };
    let meter = Arc::new(Meter::default());
    let progress = renderer.progress("tenant", &meter, locale);
    let sent = tenant_backup(context, request, &meter).await;
    drop(progress);
    let sent = sent?;
    show(&sent, (renderer, locale));
    Ok(if sent.delivered && sent.warnings.is_empty() { Exit::Done } else { Exit::Warnings })
}

fn show(sent: &TenantBackup, (renderer, locale): (Renderer, Locale)) {
    let mut value = serde_json::to_value(sent).unwrap_or_default();
    if let Some(passphrase) = &sent.passphrase {
        value["passphrase"] = passphrase.as_str().into();
    }
    let summary = TenantSummary {
        tenant: sent.tenant.clone(),
        recipient: sent.recipient.clone(),
        file: sent.file.clone(),
        size: sent.size,
        attached: sent.expires.is_none(),
        waiting: (!sent.delivered).then(|| sent.error.clone().unwrap_or_default()),
    };
    renderer.result("tenant", &value, || {
        let passphrase = sent.passphrase.as_ref().map(|passphrase| tenant_passphrase(passphrase, &sent.recipient, locale));
        let warnings = sent.warnings.iter().map(|warning| format!("\n⚠️  {warning}")).collect::<Vec<_>>().concat();
        format!("{}{warnings}\n{}", tenant_summary(&summary, locale), passphrase.unwrap_or_default())
    });
    let _ = std::io::stdout().flush();
}
