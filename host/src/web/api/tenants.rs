//! Tenants: who is limited to some sees and delivers only those.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::endpoint::{Accepted, Ask, Endpoint, Json, Need};
use super::super::problem::{Kind, Problem};
use super::super::tasks::{Order, Outcome, TaskView};
use super::work::{accepted, outcome};
use crate::access::Scope;
use crate::job::{self, TenantRequest, TenantView, tenant_backup};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/tenants", Need::Tenants(Scope::StatusRead), "Tenants, and where their own is", tenants),
        Endpoint::post(
            "/tenants/{name}/deliveries",
            Need::Tenants(Scope::TenantDeliver),
            "Back up one tenant now, and send it to somebody as one encrypted file; the passphrase is in the task, once",
            deliver,
        ),
    ]
}

async fn tenants(ask: Ask) -> Result<Json<Vec<TenantView>>, Problem> {
    let all = job::tenants(&ask.context.config);
    Ok(Json(all.into_iter().filter(|tenant| ask.caller.principal.may_tenant(&tenant.name)).collect()))
}

/// To whom, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeliveryBody {
    /// Address of the person.
    pub recipient: String,
    /// Notifier that writes to them; without one, the first that can.
    pub notifier: Option<String>,
    /// Destination of a file that is too large for a mail.
    pub via: Option<String>,
}

async fn deliver(ask: Ask<DeliveryBody>) -> Result<Accepted<TaskView>, Problem> {
    let tenant = ask.name("name").to_owned();
    deliver_to(ask, tenant).await
}

/// Begins the delivery of one tenant's backup.
pub(in super::super) async fn deliver_to(ask: Ask<DeliveryBody>, tenant: String) -> Result<Accepted<TaskView>, Problem> {
    // Before it is looked for: nobody learns which others there are.
    if !ask.caller.principal.may_tenant(&tenant) {
        return Err(Problem::new(Kind::Tenant, "this token is limited to other tenants"));
    }
    if !ask.context.config.tenants().contains_key(tenant.as_str()) {
        return Err(Problem::not_found(format!("tenant `{tenant}`")));
    }
    let asked = serde_json::to_value(&ask.body).unwrap_or_default();
    let DeliveryBody { recipient, notifier, via } = ask.body;
    let request = TenantRequest { tenant: tenant.clone(), recipient, notifier, via, passphrase: None };
    let order = Order { verb: "tenant", asked, caller: &ask.caller, scope: Scope::TenantDeliver, tenant: Some(tenant) };
    let task = ask.state.tasks().start(order, &ask.context, |context, meter| async move {
        let mut sent = tenant_backup(&context, request, &meter).await?;
        let secret = sent.passphrase.take();
        Ok(Outcome { secret, ..outcome(true, sent.delivered && sent.warnings.is_empty(), &sent) })
    })?;
    Ok(accepted(task.brief()))
}
