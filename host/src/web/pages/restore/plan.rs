//! The last step: what a dry run says, what is in the way, and the name to type.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::api::work::restore_request;
use super::super::super::problem::Problem;
use super::super::frame::Visit;
use super::picked::{Goal, Part, Picked};
use super::size;
use crate::access::Scope;
use crate::catalog::ArtifactLine;
use crate::job::{self, Context, JobError, RestoreRequest, RestoreTarget, Restored, SetChoice, What};
use crate::page::Tone;
use crate::page::part::{Alert, Fact};
use crate::page::restore::{Plan, Step};
use crate::ports::{Meter, Warnings};
use crate::set::SetName;
use crate::text::Locale;

/// How long looking ahead may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What would happen; where it cannot, why.
pub(super) async fn plan(visit: &Visit, picked: &Picked, set: SetName, chosen: (&ArtifactLine, &Part, &Goal)) -> Step {
    let (line, part, goal) = chosen;
    let warnings = Arc::new(Warnings::default());
    let looked = match wanted(visit, picked, set, chosen) {
        Ok(request) => look_ahead(visit, &request, &warnings).await,
        Err(problem) => Err(problem.detail),
    };
    let mut alerts = Vec::new();
    if let Err(why) = &looked {
        alerts.push(alert(Tone::Bad, visit.t("Assim não é possível", "It cannot be done like this"), why.clone()));
    }
    if let Goal::Directory { replace: true, .. } = goal {
        let text = visit.t(
            "Arquivos de mesmo nome nesse diretório são substituídos, e o que tinham se perde.",
            "Files of the same name in that directory are replaced, and what they held is lost.",
        );
        alerts.push(alert(Tone::Warn, visit.t("Substitui o que existe", "It replaces what is there"), text.to_owned()));
    }
    let (told, _) = warnings.snapshot();
    alerts.extend(told.into_iter().take(20).map(|warning| alert(Tone::Warn, &warning.subject, warning.message)));
    let possible = looked.is_ok();
    let restored = looked.unwrap_or_default();
    let fact = |label: &str, value: String| Fact { label: label.to_owned(), value, tone: Tone::Plain };
    let mut facts = vec![
        fact(visit.t("A buscar", "To fetch"), size(visit, line.size)),
        fact(visit.t("Artefato aberto", "The artifact when opened"), size(visit, line.plain)),
    ];
    facts.extend(restored.iter().filter(|one| !one.detail.is_empty()).map(|one| fact(&one.artifact, one.detail_in(visit.frame.locale))));
    Step::Plan(Plan {
        actions: restored.iter().flat_map(|one| actions(visit, one, goal)).collect(),
        facts,
        warnings: alerts,
        target: goal.name(),
        download: matches!(goal, Goal::Download).then(|| picked.address(line, part)),
        possible,
    })
}

/// The request of the dry run.
fn wanted(
    visit: &Visit,
    picked: &Picked,
    set: SetName,
    (line, part, goal): (&ArtifactLine, &Part, &Goal),
) -> Result<RestoreRequest, Problem> {
    if let Goal::Download = goal {
        let what = match part {
            Part::Paths(_) => picked.body((line, part), goal, true).path.map(What::Path),
            Part::Whole | Part::Table(_) => None,
        };
        let from = Some(picked.from.clone()).filter(|from| !from.is_empty());
        let what = what.unwrap_or_else(|| What::Artifact(line.key.clone()));
        return Ok(RestoreRequest { set: SetChoice::Named(set), from, what, target: RestoreTarget::Stdout, force: false, dry_run: true });
    }
    if !visit.may(Scope::RestoreWrite) {
        return Err(Problem::missing(Scope::RestoreWrite));
    }
    restore_request(&picked.body((line, part), goal, true))
}

async fn look_ahead(visit: &Visit, request: &RestoreRequest, warnings: &Arc<Warnings>) -> Result<Vec<Restored>, String> {
    let cancel = visit.context.cancel.child_token();
    let context = Context { cancel: cancel.clone(), ..visit.context.clone() };
    let _guard = cancel.drop_guard();
    let work = job::restore(&context, request, (Arc::clone(warnings), Arc::new(Meter::default())));
    let late = |_| JobError::Failed(format!("no answer within {} s: a destination or a server does not answer", PATIENCE.as_secs()));
    let looked = tokio::time::timeout(PATIENCE, work).await.map_err(late).flatten();
    looked.map_err(|error| error.to_string())
}

/// What is done with one artifact, in order.
fn actions(visit: &Visit, one: &Restored, goal: &Goal) -> Vec<String> {
    let Restored { artifact, from, what, place, .. } = one;
    let portuguese = visit.frame.locale == Locale::PtBr;
    let fetch = if portuguese {
        format!("Buscar {artifact} de {from} e conferir o SHA-256 com o manifesto selado")
    } else {
        format!("Fetch {artifact} from {from}, and compare its SHA-256 with the sealed manifest")
    };
    let open = if portuguese { format!("Decifrar e abrir: {what}") } else { format!("Decrypt and open: {what}") };
    let write = match (goal, portuguese) {
        (Goal::Schema { .. }, true) => format!("Carregar em {place} e comparar cada tabela com o passaporte do conjunto"),
        (Goal::Schema { .. }, false) => format!("Load into {place}, and compare each table with the passport of the set"),
        (Goal::Directory { .. }, true) => format!("Gravar abaixo de {place}"),
        (Goal::Directory { .. }, false) => format!("Write below {place}"),
        (Goal::Download, true) => "Enviar a este navegador".to_owned(),
        (Goal::Download, false) => "Send to this browser".to_owned(),
    };
    vec![fetch, open, write]
}

fn alert(tone: Tone, title: &str, detail: String) -> Alert {
    Alert { tone, title: title.to_owned(), detail, since: None, actions: Vec::new(), address: None }
}
